#include "kernels/hip/host/shadow.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "kernels/hip/host/executor.hpp"
#include "kernels/hip/registry.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip::host {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kMostShadow = size_t{16} << 30;  ///< address space; memory only where it is touched

/// Instructions are kept as 32-bit distances from here.
void anchor() {}
uintptr_t anchor_address() { return reinterpret_cast<uintptr_t>(&anchor); }

unsigned log2_of_element(unsigned bytes) {
  if (bytes % 4 == 0) return 2;
  return bytes % 2 == 0 ? 1 : 0;
}

}  // namespace

ShadowRegion::ShadowRegion(size_t region_bytes, unsigned element_bytes)
    : bytes(region_bytes), shift(log2_of_element(element_bytes)) {
  mapped = std::max<size_t>((bytes >> shift) + 1, 1) * sizeof(Cell);
  void* const memory =
      mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    throw Error(ErrorKind::kOutOfMemory, concat("no address space for the shadow of ", bytes, " bytes"));
  cells = static_cast<Cell*>(memory);
}
ShadowRegion::~ShadowRegion() { munmap(cells, mapped); }

/// What was known is forgotten but for the writes: a race in flight may be missed, nothing false is reported.
void ShadowRegion::split_to_bytes() {
  ShadowRegion fine(bytes, 1);
  for (size_t i = 0; i < bytes; ++i) {
    const Cell& whole = cells[i >> shift];
    if (whole.written.bits == 0) continue;
    fine.cells[i].written = whole.written;
    fine.cells[i].written_at = whole.written_at;
  }
  std::swap(cells, fine.cells);
  std::swap(mapped, fine.mapped);
  shift = 0;
}

Shadow& Shadow::instance() {
  static auto* shadow = new Shadow;
  return *shadow;
}

void Shadow::begin_launch(const std::vector<ErasedArgument>& arguments, int wave) {
  launch_time_ = ++time_;
  wave_ = static_cast<unsigned>(wave);
  blocks_.clear();
  ranges_.clear();
  last_range_ = 0;
  arguments_ = arguments;
  size_t total = 0;
  for (const auto& [id, region] : buffers_) total += region->mapped;
  if (total > kMostShadow) buffers_.clear();
  for (const ErasedArgument& a : arguments_) {
    if (a.pointer == nullptr || std::strcmp(a.direction, "scalar") == 0) continue;
    const auto entry = neutral::find_allocation(a.id);
    if (!entry) continue;
    Range r{};
    r.begin = reinterpret_cast<uintptr_t>(a.pointer);
    r.end = r.begin + a.needed * a.element_bytes;
    r.buffer = entry->allocation.address;
    r.page_begin = r.buffer / kPage * kPage;
    r.page_end = (r.buffer + entry->allocation.bytes + kPage - 1) / kPage * kPage;
    r.argument = &a;
    r.writable = std::strcmp(a.direction, "in") != 0;
    r.must_write_first = std::strcmp(a.direction, "out") == 0;
    if (r.writable) {
      auto known = std::find_if(buffers_.begin(), buffers_.end(), [&](const auto& b) { return b.first == a.id; });
      if (known == buffers_.end()) {
        buffers_.emplace_back(
            a.id, std::make_unique<ShadowRegion>(entry->allocation.bytes, static_cast<unsigned>(a.element_bytes)));
        known = std::prev(buffers_.end());
      }
      r.region = known->second.get();
    }
    ranges_.push_back(r);
  }
}

void Shadow::begin_block(uint64_t block) {
  block_time_ = ++time_;
  blocks_.emplace_back(block_time_, block);
}

void Shadow::access(uintptr_t address, size_t bytes, bool write, bool atomic, uintptr_t instruction) {
  const Worker* const worker = t_worker;
  if (worker == nullptr || !worker->in_kernel() || worker->on_stack(address)) return;
  int64_t offset = 0;
  if (const LdsArray* array = worker->lds_near(address, &offset)) {
    access_lds(*array, offset, bytes, write, atomic, instruction);
    return;
  }
  const auto inside = [&](const Range& r) { return address >= r.begin && address + bytes <= r.end; };
  if (last_range_ < ranges_.size() && inside(ranges_[last_range_]) && (ranges_[last_range_].writable || !write)) {
    access_range(ranges_[last_range_], address, bytes, write, atomic, instruction);
    return;
  }
  const Range* near = nullptr;
  const Range* found = nullptr;
  for (const Range& r : ranges_) {
    if (inside(r) && (!found || (r.writable && !found->writable))) found = &r;
    if (address + bytes > r.page_begin && address < r.page_end) near = &r;
  }
  if (found) {
    last_range_ = static_cast<size_t>(found - ranges_.data());
    access_range(*found, address, bytes, write, atomic, instruction);
  } else if (near) {
    report(ShadowFinding::Kind::kOutside, address, write, instruction);
  }
}

void Shadow::access_lds(const LdsArray& array, int64_t offset, size_t bytes, bool write, bool atomic,
                        uintptr_t instruction) {
  if (offset < 0 || static_cast<size_t>(offset) + bytes > array.bytes)
    report(ShadowFinding::Kind::kOutside, reinterpret_cast<uintptr_t>(array.data) + static_cast<uintptr_t>(offset),
           write, instruction);
  constexpr auto kUninitialised = ShadowFinding::Kind::kUninitialisedLds;
  access_cells(*array.shadow, static_cast<size_t>(offset), bytes, write, atomic, instruction, block_time_,
               &kUninitialised);
}

void Shadow::access_range(const Range& r, uintptr_t address, size_t bytes, bool write, bool atomic,
                          uintptr_t instruction) {
  if (!r.writable) {
    if (write) report(ShadowFinding::Kind::kWriteToInput, address, write, instruction);
    return;
  }
  constexpr auto kUnwritten = ShadowFinding::Kind::kUnwrittenOut;
  access_cells(*r.region, address - r.buffer, bytes, write, atomic, instruction, launch_time_,
               r.must_write_first ? &kUnwritten : nullptr);
}

/// Whether `before` cannot race with `now` by what lies between them (not by what they do).
bool Shadow::ordered(Stamp before, Stamp now, uint64_t oldest) const {
  if (before.time() < oldest) return true;        // nothing, or of an earlier launch (LDS: workgroup)
  if (before.time() < block_time_) return false;  // another workgroup
  if (before.thread() == now.thread() || before.time() < now.time()) return true;
  return before.thread() / wave_ == now.thread() / wave_ && before.wave_time() != now.wave_time();
}

void Shadow::note_read(Cell& cell, Stamp now, int32_t at, uint64_t oldest) const {
  const auto of_this_block = [&](Stamp s) { return s.time() >= block_time_; };
  const auto replaceable = [&](Stamp s) {
    return s.time() < oldest || (of_this_block(s) && ordered(s, now, oldest));  // also an earlier read of this thread
  };
  if (replaceable(cell.read)) {
    cell.read = now, cell.read_at = at;
  } else if (replaceable(cell.read_too) || (!of_this_block(cell.read) && !of_this_block(cell.read_too))) {
    cell.read_too = now, cell.read_too_at = at;  // readers of two workgroups say more than two of one
  }
}

void Shadow::access_cells(ShadowRegion& region, size_t offset, size_t bytes, bool write, bool atomic,
                          uintptr_t instruction, uint64_t oldest, const ShadowFinding::Kind* unwritten) {
  const size_t part = (size_t{1} << region.shift) - 1;
  if ((offset | bytes) & part) region.split_to_bytes();
  const unsigned thread = t_state.linear;
  const Stamp now = Stamp::make(time_, wave_time_[thread / wave_], thread, atomic);
  const auto at = static_cast<int32_t>(instruction - anchor_address());
  const auto address_of = [&](size_t i) { return i << region.shift; };
  const auto race = [&](Stamp before, int32_t before_at, bool before_wrote, size_t i) {
    other(before, before_at, before_wrote);
    report_cell(ShadowFinding::Kind::kRace, region, address_of(i), write, instruction);
  };
  const size_t end = (offset + bytes) >> region.shift;
  for (size_t i = offset >> region.shift; i < end; ++i) {
    Cell& cell = region.cells[i];
    if (!(atomic && cell.written.atomic()) && !ordered(cell.written, now, oldest))
      race(cell.written, cell.written_at, true, i);
    if (write) {
      if (!(atomic && cell.read.atomic()) && !ordered(cell.read, now, oldest)) race(cell.read, cell.read_at, false, i);
      if (!(atomic && cell.read_too.atomic()) && !ordered(cell.read_too, now, oldest))
        race(cell.read_too, cell.read_too_at, false, i);
      cell.written = now;
      cell.written_at = at;
    } else {
      if (unwritten && cell.written.time() < oldest) report_cell(*unwritten, region, address_of(i), write, instruction);
      note_read(cell, now, at, oldest);
    }
  }
}

void Shadow::other(Stamp stamp, int32_t at, bool wrote) {
  finding_.other_thread = stamp.thread();
  finding_.other_writes = wrote;
  finding_.other_at = anchor_address() + static_cast<uintptr_t>(static_cast<intptr_t>(at));
  const auto after = std::upper_bound(blocks_.begin(), blocks_.end(), std::pair(stamp.time(), UINT64_MAX));
  finding_.other_block = after == blocks_.begin() ? 0 : std::prev(after)->second;
}

void Shadow::report(ShadowFinding::Kind kind, uintptr_t address, bool write, uintptr_t instruction) {
  finding_.kind = kind;
  finding_.address = address;
  finding_.writes = write;
  finding_.at = instruction;
  t_worker->fail(Trouble::Kind::kShadow, {});
}

void Shadow::report_cell(ShadowFinding::Kind kind, const ShadowRegion& region, size_t offset, bool write,
                         uintptr_t instruction) {
  uintptr_t base = t_worker->lds_with_shadow(&region);
  for (const Range& r : ranges_)
    if (r.region == &region) base = r.buffer;
  report(kind, base + offset, write, instruction);
}

}  // namespace greta::hip::host
