// LDS of the host platform. A static array has one place per worker for good, right-aligned against an unmapped page;
// per workgroup it is only counted against the limit and poisoned. So an overrun stops at the guilty statement, a read
// before the first write yields NaN, and reports know the array by name.
#include <sys/mman.h>

#include <cstring>

#include "kernels/hip/host/executor.hpp"
#include "kernels/hip/poison.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip::host {
namespace {

constexpr size_t kLdsAlignment = 16;  ///< kernels move 16 bytes a lane
constexpr size_t kLdsGuard = 64 * 1024;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

std::unique_ptr<LdsArray> map_array(std::string name, Site site, size_t bytes, size_t alignment) {
  const platform::Memory m = map_guarded("LDS array " + name, bytes, alignment, kLdsGuard);
  return std::make_unique<LdsArray>(
      LdsArray{std::move(name), site, static_cast<char*>(m.data), bytes, static_cast<char*>(m.base), m.mapped});
}

uint32_t poison_of(LdsFill fill, size_t index, ExecConfig::Poison poison) {
  switch (fill) {
    case LdsFill::kF32:
      return poison_pattern(DType::kF32, index + 1, poison);
    case LdsFill::kF64:
      return poison_pattern(DType::kF64, index + 1, poison);
    case LdsFill::kF16:
      return poison_pattern(DType::kF16, index + 1, poison);
    case LdsFill::kBF16:
      return poison_pattern(DType::kBF16, index + 1, poison);
    case LdsFill::kBytes:
      break;
  }
  return poison_pattern(DType::kU8, index + 1, poison);
}

}  // namespace

void Worker::place_lds(LdsSlot& slot, size_t bytes, size_t alignment, LdsFill fill, const char* name, Site site) {
  alignment = std::max(alignment, kLdsAlignment);
  const size_t used = lds_used_ + round_up(bytes, alignment);
  if (used > kLdsBytes) {
    std::string list;
    if (job_->shape->dynamic_lds_bytes) list = concat("dynamic ", job_->shape->dynamic_lds_bytes, ", ");
    for (const LdsArray* a : placed_) list += concat("'", a->name, "' ", a->bytes, ", ");
    fail(Trouble::Kind::kUnavailable, concat("LDS of a workgroup: ", used, " bytes wanted, ", kLdsBytes, " there are (",
                                             list, "'", name, "' ", bytes, " at ", text_of(site), ")"));
  }
  if (slot.address == nullptr) {
    lds_.push_back(map_array(name, site, bytes, alignment));
    slot.address = lds_.back()->data;
    slot.index = static_cast<uint32_t>(lds_.size() - 1);
  }
  lds_used_ = used;
  placed_.push_back(lds_[slot.index].get());
  fill_pattern(slot.address, bytes, poison_of(fill, slot.index, job_->config.poison));
  slot.block_generation = t_state.block_generation;
}

void Worker::prepare_dynamic_lds(size_t bytes) {
  if (!dynamic_) dynamic_ = map_array("dynamic LDS", {}, kLdsBytes, kLdsAlignment);
  char* const end = dynamic_->mapping + dynamic_->mapped - kLdsGuard;
  dynamic_->data = end - round_up(bytes, kLdsAlignment);
  dynamic_->bytes = bytes;
  dynamic_lds_ = dynamic_->data;
  if (bytes) std::memset(dynamic_->data + bytes, kSlack, static_cast<size_t>(end - dynamic_->data) - bytes);
}

void Worker::begin_lds() {
  placed_.clear();
  lds_used_ = round_up(dynamic_->bytes, kLdsAlignment);
  // The element type is not known here: this pattern is NaN (or about 1e30) as f32, f16 and bf16.
  if (dynamic_->bytes)
    fill_pattern(dynamic_lds_, dynamic_->bytes,
                 job_->config.poison == ExecConfig::Poison::kNan ? 0x7fc07fc0u : 0x714a714au);
}

void Worker::end_block() {
  if (!job_->config.checked) return;
  for (const LdsArray* a : placed_) {
    const auto damage = slack_damage({a->data, a->bytes, a->mapping, a->mapped});
    if (!damage) continue;
    trouble_.of_thread = false;
    fill_slack({a->data, a->bytes, a->mapping, a->mapped});
    fail(Trouble::Kind::kMessage, concat("LDS array '", a->name, "' (", a->bytes, " bytes, declared at ",
                                         text_of(a->site), ") was written outside: offset ", damage->offset));
  }
}

const LdsArray* Worker::lds_near(uintptr_t address, int64_t* offset) const {
  const auto look = [&](const LdsArray& a) {
    const auto mapping = reinterpret_cast<uintptr_t>(a.mapping);
    if (address < mapping || address >= mapping + a.mapped) return false;
    *offset = static_cast<int64_t>(address - reinterpret_cast<uintptr_t>(a.data));
    return true;
  };
  if (dynamic_ && look(*dynamic_)) return dynamic_.get();
  for (const auto& a : lds_)
    if (look(*a)) return a.get();
  return nullptr;
}

void place_lds(LdsSlot& slot, size_t bytes, size_t alignment, LdsFill fill, const char* name, Site site) {
  t_worker->place_lds(slot, bytes, alignment, fill, name, site);
}
void* dynamic_lds() { return t_worker->dynamic_lds(); }

}  // namespace greta::hip::host
