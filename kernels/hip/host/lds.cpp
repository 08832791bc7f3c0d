// LDS of the host platform. An array has one place per worker for good, right-aligned against unmapped memory; per
// workgroup it is only counted against the limit and poisoned. So an overrun stops at the guilty statement, a read
// before the first write yields NaN, and reports know the array by name.
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "kernels/hip/host/executor.hpp"
#include "kernels/hip/poison.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip::host {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kLdsAlignment = 16;       ///< kernels move 16 bytes a lane
constexpr size_t kSlotBytes = 128 * 1024;  ///< the array ends in the middle, the second half stays unmapped
constexpr size_t kArenaBytes = size_t{1} << 29;

static_assert(kSlotBytes == 2 * kLdsBytes);

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

platform::Memory memory_of(const LdsArray& a) { return {a.data, a.bytes, nullptr, 0}; }

uint32_t poison_of(LdsFill fill, size_t index, ExecConfig::Poison poison) {
  switch (fill) {
    case LdsFill::kF32:
      return poison_pattern(DType::kF32, index, poison);
    case LdsFill::kF64:
      return poison_pattern(DType::kF64, index, poison);
    case LdsFill::kF16:
      return poison_pattern(DType::kF16, index, poison);
    case LdsFill::kBF16:
      return poison_pattern(DType::kBF16, index, poison);
    case LdsFill::kBytes:
      break;
  }
  return poison_pattern(DType::kU8, index, poison);
}

}  // namespace

LdsArray& Worker::new_lds_array(std::string name, Site site, size_t bytes, size_t alignment, unsigned element_bytes) {
  const size_t slot = lds_.size();
  const auto refuse = [&] {
    // On a fiber an exception could not leave the kernel; on the worker's own stack it can.
    std::string text = concat("no memory for LDS array '", name, "' (", std::strerror(errno), ")");
    if (in_kernel()) fail(Trouble::Kind::kUnavailable, std::move(text));
    throw Error(ErrorKind::kOutOfMemory, text);
  };
  if ((slot + 1) * kSlotBytes > kArenaBytes) refuse();
  if (arena_ == nullptr) {
    void* const arena = mmap(nullptr, kArenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) refuse();
    arena_ = static_cast<char*>(arena);
  }
  char* const end = arena_ + slot * kSlotBytes + kLdsBytes;
  const size_t pages = round_up(bytes, kPage);
  if (mprotect(end - pages, pages, PROT_READ | PROT_WRITE) != 0) refuse();
  auto array = std::make_unique<LdsArray>();
  array->name = std::move(name);
  array->site = site;
  array->data = end - round_up(bytes, alignment);
  array->bytes = bytes;
  if (kRaces) array->shadow = std::make_unique<ShadowRegion>(bytes, element_bytes);
  fill_slack(memory_of(*array));
  lds_.push_back(std::move(array));
  return *lds_.back();
}

void Worker::place_lds(LdsSlot& slot, const LdsDeclaration& d) {
  const size_t alignment = std::max(d.alignment, kLdsAlignment);
  const size_t used = lds_used_ + round_up(d.bytes, alignment);
  if (used > kLdsBytes) {
    std::string list;
    if (job_->shape->dynamic_lds_bytes) list = concat("dynamic ", job_->shape->dynamic_lds_bytes, ", ");
    for (const LdsArray* a : placed_) list += concat("'", a->name, "' ", a->bytes, ", ");
    fail(Trouble::Kind::kUnavailable, concat("LDS of a workgroup: ", used, " bytes wanted, ", kLdsBytes, " there are (",
                                             list, "'", d.name, "' ", d.bytes, " at ", text_of(d.site), ")"));
  }
  if (slot.address == nullptr) {
    slot.index = static_cast<uint32_t>(lds_.size());
    slot.address = new_lds_array(d.name, d.site, d.bytes, alignment, d.element_bytes).data;
  }
  lds_used_ = used;
  placed_.push_back(lds_[slot.index].get());
  fill_pattern(slot.address, d.bytes, poison_of(d.fill, slot.index, job_->config.poison));
  slot.block_generation = t_state.block_generation;
}

void Worker::prepare_dynamic_lds(size_t bytes) {
  if (lds_.empty()) new_lds_array("dynamic LDS", {}, kLdsBytes, kLdsAlignment, 4);
  LdsArray& dynamic = *lds_.front();
  char* const end = arena_ + kLdsBytes;
  dynamic.data = end - round_up(bytes, kLdsAlignment);
  dynamic.bytes = bytes;
  std::memset(dynamic.data + bytes, kSlack, static_cast<size_t>(end - dynamic.data) - bytes);
}

void Worker::begin_lds() {
  placed_.clear();
  const LdsArray& dynamic = *lds_.front();
  lds_used_ = round_up(dynamic.bytes, kLdsAlignment);
  if (dynamic.bytes == 0) return;
  // The element type is not known here: this pattern is NaN (or about 1e30) as f32, f16 and bf16.
  fill_pattern(dynamic.data, dynamic.bytes,
               job_->config.poison == ExecConfig::Poison::kNan ? 0x7fc07fc0u : 0x714a714au);
}

void Worker::end_block() {
  if (!job_->config.checked) return;
  for (const LdsArray* a : placed_) {
    const auto damage = slack_damage(memory_of(*a));
    if (!damage) continue;
    trouble_.of_thread = false;
    fill_slack(memory_of(*a));
    fail(Trouble::Kind::kMessage, concat("LDS array '", a->name, "' (", a->bytes, " bytes, declared at ",
                                         text_of(a->site), ") was written outside: offset ", damage->offset));
  }
}

const LdsArray* Worker::lds_near(uintptr_t address, int64_t* offset) const {
  const uintptr_t slot = (address - reinterpret_cast<uintptr_t>(arena_)) / kSlotBytes;
  if (slot >= lds_.size()) return nullptr;
  const LdsArray& a = *lds_[slot];
  *offset = static_cast<int64_t>(address - reinterpret_cast<uintptr_t>(a.data));
  return &a;
}

uintptr_t Worker::lds_with_shadow(const ShadowRegion* region) const {
  for (const auto& a : lds_)
    if (a->shadow.get() == region) return reinterpret_cast<uintptr_t>(a->data);
  return 0;
}

void Worker::free_lds() {
  if (arena_) munmap(arena_, kArenaBytes);
}

void place_lds(LdsSlot& slot, const LdsDeclaration& declaration) { t_worker->place_lds(slot, declaration); }
void* dynamic_lds() { return t_worker->dynamic_lds(); }

}  // namespace greta::hip::host
