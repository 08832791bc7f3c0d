#include "bench/rotation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "reference/random.hpp"
#include "verify/compare.hpp"

namespace greta::bench {
namespace {

constexpr int64_t kMostSlots = 4096;
constexpr int64_t kSlotAlignment = 256;

double cold_bytes() { return 2.0 * static_cast<double>(hip::device_info().last_level_cache_bytes); }

int64_t stride_of(DType dtype, int64_t count) {
  const int64_t block = dtype_block_bytes(dtype);
  const int64_t step = kSlotAlignment / std::gcd(kSlotAlignment, block);  // elements that end on the alignment
  return (count + step - 1) / step * step;
}

verify::Surroundings nothing_before(const verify::Tensor& got) {
  verify::Surroundings around;
  around.before = verify::Tensor(got.name, got.dtype, got.dims);
  around.poisoned = false;
  return around;
}
std::string story(const verify::Comparison& c) {
  return c.outcome.verdict == results::Verdict::kPass ? std::string() : c.outcome.reason + "\n" + c.detail;
}

}  // namespace

int64_t slots_for(double bytes_touched, double bytes_a_slot) {
  const double memory = static_cast<double>(hip::device_info().memory_bytes) / 4;
  const double wanted = std::ceil(cold_bytes() / bytes_touched) + 1;
  const double fit = std::floor(memory / std::max(bytes_touched, bytes_a_slot));
  return std::max<int64_t>(2, static_cast<int64_t>(std::min({wanted, fit, static_cast<double>(kMostSlots)})));
}

bool is_cold(double footprint) { return footprint >= cold_bytes(); }

RotatedTensor::RotatedTensor(std::string name, DType dtype, int64_t count, int64_t slots)
    : dtype_(dtype),
      count_(count),
      stride_(stride_of(dtype, count)),
      slots_(slots),
      buffer_(std::move(name), dtype, static_cast<size_t>(stride_ * slots)) {}

RotatedTensor::RotatedTensor(hip::Stream& stream, const verify::Tensor& tensor, int64_t slots)
    : RotatedTensor("bench." + tensor.name, tensor.dtype, tensor.count(), slots) {
  buffer_.upload_bytes(stream, tensor.bytes.data(), tensor.bytes.size());
  const auto stride_bytes = static_cast<size_t>(stride_ * dtype_block_bytes(dtype_));
  // Doubling: slot 0, then 0-1 to 2-3, and so on.
  for (int64_t done = 1; done < slots; done *= 2) {
    const auto more = static_cast<size_t>(std::min(done, slots - done));
    hip::copy_on_device(stream, buffer_.id(), static_cast<size_t>(done) * stride_bytes, buffer_.id(), 0,
                        more * stride_bytes);
  }
}

hip::AnyView RotatedTensor::view(int64_t slot) const {
  return buffer_.view().slice(static_cast<size_t>(slot * stride_), static_cast<size_t>(count_));
}

verify::Tensor RotatedTensor::download(hip::Stream& stream, int64_t slot, verify::Tensor shape, int64_t first) const {
  const auto block = static_cast<size_t>(dtype_block_bytes(dtype_));
  if (shape.dtype != dtype_ || first + shape.count() > count_)
    throw_invalid(fmt::format("download of {} {} elements from {} of a slot of {} {}", shape.count(),
                              dtype_name(shape.dtype), first, count_, dtype_name(dtype_)));
  buffer_.download_bytes(stream, shape.bytes.data(), shape.bytes.size(),
                         static_cast<size_t>(slot * stride_ + first) * block);
  return shape;
}

std::vector<int64_t> sampled_rows(int64_t n, int64_t most, uint64_t seed) {
  std::vector<int64_t> rows = {0, n - 1};
  reference::Random random(seed);
  while (static_cast<int64_t>(rows.size()) < std::min(n, most))
    rows.push_back(static_cast<int64_t>(random.below(static_cast<uint64_t>(n))));
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

std::vector<int64_t> sampled_slots(std::span<const int64_t> launches, int64_t most) {
  std::vector<int64_t> launched, out;
  for (size_t s = 0; s < launches.size(); ++s)
    if (launches[s] > 0) launched.push_back(static_cast<int64_t>(s));
  const auto n = static_cast<int64_t>(launched.size());
  for (int64_t i = 0; i < std::min(n, most); ++i) {
    const int64_t at = most == 1 || n == 1 ? 0 : i * (n - 1) / (std::min(n, most) - 1);
    out.push_back(launched[static_cast<size_t>(at)]);
  }
  return out;
}

std::string differs(const verify::Tensor& got, std::span<const float> want) {
  verify::Tensor wanted(got.name, got.dtype, got.dims);
  wanted.set_floats(want);
  return story(verify::compare_bits(got, wanted, nothing_before(got)));
}

std::string outside(const verify::Tensor& got, const reference::Bounded& oracle) {
  return story(verify::compare_bound(got, oracle, nothing_before(got), true));
}

std::string slots_differ(hip::Stream& stream, const RotatedTensor& output, const verify::Tensor& shape,
                         std::span<const int64_t> slots) {
  verify::Tensor first;
  for (const int64_t slot : slots) {
    verify::Tensor whole = output.download(stream, slot, shape);
    if (first.bytes.empty()) {
      first = std::move(whole);
      continue;
    }
    const auto at = std::mismatch(first.bytes.begin(), first.bytes.end(), whole.bytes.begin()).first;
    if (at == first.bytes.end()) continue;
    const int64_t element = (at - first.bytes.begin()) / whole.element_bytes();
    return fmt::format("slot {} has {} where slot {} of the same inputs has {} at {}", slot, show(whole, element),
                       slots[0], show(first, element), whole.place(element));
  }
  return {};
}

}  // namespace greta::bench
