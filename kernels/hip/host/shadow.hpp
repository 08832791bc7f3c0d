// Shadow memory of the host-races build: for every element of LDS and of the buffers that a launch may write, who wrote
// it last and who has read it since. The kernels' accesses arrive through the hooks of tsan_hooks.cpp.
//
// Time is a number that grows with every workgroup and every barrier (one worker runs all workgroups, one after the
// other), so "between the same two barriers" is equality and "before this workgroup" is a comparison. Two accesses of
// one element race when one writes, not both are atomic, and either
//   the threads are of one workgroup and no barrier lies between (for one wave: and no wave barrier either), or
//   the threads are of two workgroups (nothing orders those).
// Also found: reads of LDS that its workgroup has not written, reads of an out() argument that the launch has not
// written, writes to an in() argument, and accesses outside the elements a launch has declared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/hip/launch_shape.hpp"

namespace greta::hip::host {

struct LdsArray;

#if defined(GRETA_RACES)
inline constexpr bool kRaces = true;
#else
inline constexpr bool kRaces = false;
#endif

/// One access: bits 28 up the time, then the wave's own time, the thread, and whether it was atomic. 0 is none.
struct Stamp {
  uint64_t bits = 0;
  static constexpr unsigned kThreadShift = 1, kWaveShift = 11, kTimeShift = 28;
  static Stamp make(uint64_t time, uint64_t wave_time, unsigned thread, bool atomic) {
    return {time << kTimeShift | (wave_time & 0x1ffff) << kWaveShift | uint64_t{thread} << kThreadShift | atomic};
  }
  uint64_t time() const { return bits >> kTimeShift; }
  unsigned wave_time() const { return bits >> kWaveShift & 0x1ffff; }
  unsigned thread() const { return bits >> kThreadShift & 1023; }
  bool atomic() const { return bits & 1; }
};

/// What is known of one element. Two readers suffice: any other thread that writes races with one of them.
struct Cell {
  Stamp written, read, read_too;
  int32_t written_at, read_at, read_too_at;  ///< instructions, relative to an anchor in this program
};

/// The cells of an LDS array or a buffer. Elements are cut finer when the kernel touches parts of them.
struct ShadowRegion {
  explicit ShadowRegion(size_t region_bytes, unsigned element_bytes);
  ~ShadowRegion();
  ShadowRegion(const ShadowRegion&) = delete;
  ShadowRegion& operator=(const ShadowRegion&) = delete;
  void split_to_bytes();
  Cell* cells = nullptr;  ///< zero pages until touched
  size_t mapped = 0;
  size_t bytes = 0;
  unsigned shift = 0;  ///< log2 of the bytes of an element
};

/// What the shadow memory found, for describe_trouble().
struct ShadowFinding {
  enum class Kind { kRace, kUninitialisedLds, kUnwrittenOut, kWriteToInput, kOutside };
  Kind kind = Kind::kRace;
  uintptr_t address = 0;
  bool writes = false;
  uintptr_t at = 0;  ///< instruction
  // Of a race: the access before.
  bool other_writes = false;
  unsigned other_thread = 0;
  uint64_t other_block = 0;
  uintptr_t other_at = 0;
};

class Shadow {
 public:
  static Shadow& instance();

  void begin_launch(const std::vector<ErasedArgument>& arguments, int wave);
  void begin_block(uint64_t block);
  void block_barrier() { ++time_; }
  void wave_barrier(unsigned wave) { ++wave_time_[wave]; }

  /// From the hooks, on a fiber: looks the address up and checks the access. Does not return when it is a fault.
  void access(uintptr_t address, size_t bytes, bool write, bool atomic, uintptr_t instruction);

  const ShadowFinding& finding() const { return finding_; }

 private:
  struct Range {
    uintptr_t begin, end;            ///< the elements declared to launch()
    uintptr_t page_begin, page_end;  ///< of the whole buffer, with its slack
    uintptr_t buffer;
    const ErasedArgument* argument;
    bool writable, must_write_first;
    ShadowRegion* region;  ///< null for inputs
  };
  void access_lds(const LdsArray& array, int64_t offset, size_t bytes, bool write, bool atomic, uintptr_t instruction);
  void access_range(const Range& range, uintptr_t address, size_t bytes, bool write, bool atomic,
                    uintptr_t instruction);
  /// `oldest`: earlier stamps mean nothing. `unwritten`: what a read of an element without a writer is.
  void access_cells(ShadowRegion& region, size_t offset, size_t bytes, bool write, bool atomic, uintptr_t instruction,
                    uint64_t oldest, const ShadowFinding::Kind* unwritten);
  bool ordered(Stamp before, Stamp now, uint64_t oldest) const;
  void note_read(Cell& cell, Stamp now, int32_t at, uint64_t oldest) const;
  void other(Stamp stamp, int32_t at, bool wrote);
  [[noreturn]] void report(ShadowFinding::Kind kind, uintptr_t address, bool write, uintptr_t instruction);
  [[noreturn]] void report_cell(ShadowFinding::Kind kind, const ShadowRegion& region, size_t offset, bool write,
                                uintptr_t instruction);

  uint64_t time_ = 1, launch_time_ = 1, block_time_ = 1;
  unsigned wave_ = 64;
  uint32_t wave_time_[32] = {};
  std::vector<std::pair<uint64_t, uint64_t>> blocks_;  ///< of this launch: first time, number
  std::vector<ErasedArgument> arguments_;
  std::vector<Range> ranges_;
  size_t last_range_ = 0;
  std::vector<std::pair<AllocationId, std::unique_ptr<ShadowRegion>>> buffers_;
  ShadowFinding finding_;
};

}  // namespace greta::hip::host
