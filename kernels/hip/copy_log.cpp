#include "kernels/hip/copy_log.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <mutex>
#include <numeric>

#include "kernels/hip/checked_copy.hpp"
#include "kernels/hip/registry.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip {

using Clock = std::chrono::steady_clock;

struct CopyLog::Impl {
  bool verify = false;
  Clock::time_point start = Clock::now();
  int64_t step = 0;
  std::string what;
  std::vector<CopyRecord> rows;
};

namespace {

constexpr size_t kMargin = 256;  ///< bytes on either side of a destination that must stay as they were

std::mutex g_mutex;  ///< one copy at a time while something is logged or planted
CopyLog::Impl* g_log = nullptr;
CopyPlant g_plant = CopyPlant::kNone;
uint64_t g_plant_at = 0, g_copies = 0;

std::vector<char> read(Stream& stream, const char* device, size_t bytes) {
  std::vector<char> out(bytes);
  if (bytes) platform::copy_out(stream, out.data(), device, bytes);
  return out;
}

std::string first_difference(std::span<const char> got, std::span<const char> wanted, const char* of) {
  const auto at = std::mismatch(got.begin(), got.end(), wanted.begin()).first;
  if (at == got.end()) return "";
  const auto differing =
      std::inner_product(got.begin(), got.end(), wanted.begin(), int64_t{0}, std::plus<>(), std::not_equal_to<>());
  return concat(differing, " of ", got.size(), " bytes of ", of, " are not what they must be, the first at byte ",
                at - got.begin());
}

/// Moves the bytes, or what the plant makes of them.
void move(Stream& stream, const neutral::CheckedCopy& c) {
  CopyPlant plant = CopyPlant::kNone;
  if (g_plant_at != 0 && ++g_copies == g_plant_at) plant = g_plant;
  size_t bytes = c.bytes;
  auto* to = static_cast<char*>(c.to);
  if (plant == CopyPlant::kLost) return;
  // Beside the place where there is room for it (a host destination has none that we know of), else short.
  const bool after = c.to_entry && c.to_offset + c.bytes + c.element <= c.to_entry->allocation.bytes;
  const bool before = c.to_entry && c.to_offset >= c.element;
  if (plant == CopyPlant::kShifted && after)
    to += c.element;
  else if (plant == CopyPlant::kShifted && before)
    to -= c.element;
  else if (plant != CopyPlant::kNone)
    bytes = c.bytes / c.element / 2 * c.element;
  if (bytes == 0) return;
  switch (c.kind) {
    case CopyRecord::Kind::kToDevice:
      return platform::copy_in(stream, to, c.from, bytes);
    case CopyRecord::Kind::kFromDevice:
      return platform::copy_out(stream, to, c.from, bytes);
    case CopyRecord::Kind::kOnDevice:
      return platform::copy_within(stream, to, c.from, bytes);
  }
}

/// The copy between two looks at its destination.
std::string verified_move(Stream& stream, const neutral::CheckedCopy& c) {
  const bool from_device = c.kind != CopyRecord::Kind::kToDevice;
  std::vector<char> source;
  if (from_device)
    source = read(stream, static_cast<const char*>(c.from), c.bytes);
  else
    source.assign(static_cast<const char*>(c.from), static_cast<const char*>(c.from) + c.bytes);
  // Not the source's bytes by chance: whatever the copy leaves alone is seen.
  std::vector<char> inverted(source);
  for (char& byte : inverted) byte = static_cast<char>(~byte);
  if (c.kind == CopyRecord::Kind::kFromDevice) {
    auto* to = static_cast<char*>(c.to);
    std::copy(inverted.begin(), inverted.end(), to);
    move(stream, c);
    return first_difference({to, c.bytes}, source, "the destination");
  }
  const size_t before = std::min(kMargin, c.to_offset);
  const size_t after = std::min(kMargin, c.to_entry->allocation.bytes - c.to_offset - c.bytes);
  const char* const around = static_cast<const char*>(c.to) - before;
  const std::vector<char> old = read(stream, around, before + c.bytes + after);
  platform::copy_in(stream, c.to, inverted.data(), inverted.size());
  move(stream, c);
  const std::vector<char> now = read(stream, around, old.size());
  const std::span<const char> got(now), was(old);
  std::string problem = first_difference(got.subspan(before, c.bytes), source, "the destination");
  const std::string left = first_difference(got.first(before), was.first(before), "the neighbours before it");
  const std::string right = first_difference(got.last(after), was.last(after), "the neighbours after it");
  for (const std::string& more : {left, right})
    if (!more.empty()) problem += (problem.empty() ? "" : "; ") + more;
  return problem;
}

}  // namespace

void plant_copy(CopyPlant plant, uint64_t at) {
  std::lock_guard lock(g_mutex);
  g_plant = plant, g_plant_at = at, g_copies = 0;
}

CopyLog::CopyLog(bool verify) : impl_(std::make_unique<Impl>()) {
  impl_->verify = verify;
  std::lock_guard lock(g_mutex);
  if (g_log) throw_invalid("CopyLog: there is one already");
  g_log = impl_.get();
}
CopyLog::~CopyLog() {
  std::lock_guard lock(g_mutex);
  g_log = nullptr;
}
void CopyLog::step(int64_t number, std::string what) {
  std::lock_guard lock(g_mutex);
  impl_->step = number, impl_->what = std::move(what);
}
const std::vector<CopyRecord>& CopyLog::rows() const { return impl_->rows; }

std::string describe(const CopyRecord& c) {
  return concat("transfer #", c.id, ": ", c.bytes, " bytes of ", dtype_name(c.dtype), " from ", c.from, " [+",
                c.from_offset, "] to ", c.to, " [+", c.to_offset, "] on '", c.stream, "', step ", c.step,
                c.what.empty() ? "" : " (", c.what, c.what.empty() ? "" : ")");
}

namespace neutral {

void carry_out(Stream& stream, const CheckedCopy& c) {
  std::unique_lock lock(g_mutex);
  if (!g_log && !g_plant_at) {
    lock.unlock();
    return move(stream, c);
  }
  if (!g_log) return move(stream, c);
  CopyRecord r;
  r.id = g_log->rows.size() + 1;
  r.seconds = std::chrono::duration<double>(Clock::now() - g_log->start).count();
  r.kind = c.kind, r.stream = stream.name(), r.bytes = c.bytes;
  r.to = c.to_entry ? c.to_entry->allocation.name : "host";
  r.from = c.from_entry ? c.from_entry->allocation.name : "host";
  if (c.to_entry) r.to_id = c.to_entry->allocation.id;
  if (c.from_entry) r.from_id = c.from_entry->allocation.id;
  r.to_address = reinterpret_cast<uintptr_t>(c.to), r.from_address = reinterpret_cast<uintptr_t>(c.from);
  r.to_offset = c.to_offset, r.from_offset = c.from_offset;
  r.dtype = (c.to_entry ? c.to_entry : c.from_entry)->allocation.dtype;
  r.step = g_log->step, r.what = g_log->what;
  if (g_log->verify)
    r.problem = verified_move(stream, c), r.verified = true;
  else
    move(stream, c);
  g_log->rows.push_back(std::move(r));
}

}  // namespace neutral
}  // namespace greta::hip
