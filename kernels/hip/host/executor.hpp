// The CPU executor: HIP threads as pieces of fibers, workgroups over CPU threads. For the .cpp files of this folder.
//
// A worker is one CPU thread that runs whole workgroups. Within a workgroup one fiber runs HIP threads 0, 1, 2, ...
// straight through; when one of them has to wait, a fresh fiber takes over the threads that have not started. So a
// kernel without barriers never switches, and one with barriers needs a fiber a thread but no second pass and no guess.
// A fiber whose threads are done parks inside its loop and is used again. Fibers never move between CPU threads.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "kernels/hip/host/device.hpp"
#include "kernels/hip/host/shadow.hpp"
#include "kernels/hip/launch_shape.hpp"
#include "kernels/hip/platform.hpp"

namespace greta::hip::host {

inline constexpr size_t kLdsBytes = 64 * 1024;  ///< of a workgroup, as on MI300X
inline constexpr unsigned kMaxThreads = 1024;
#if defined(__SANITIZE_ADDRESS__)
inline constexpr size_t kStackBytes = 256 * 1024;  ///< instrumented frames are several times larger
#else
inline constexpr size_t kStackBytes = 64 * 1024;
#endif

/// What a fiber waits for; also what a divergence report says of it.
enum class Waits : uint8_t { kIdle, kNothing, kBarrier, kWave };

struct Fiber {
  void* context = nullptr;  ///< of Boost.Context, valid while the fiber is not running
  uint3 thread = {};        ///< the HIP thread it is in
  unsigned linear = 0;
  Waits waits = Waits::kIdle;
  const char* what = "";  ///< "__syncthreads", "wave_sum", ...
  Site site;
  char* stack = nullptr;  ///< lowest usable byte; below it lies an unmapped page
  size_t stack_bytes = 0;
  void* asan_stack = nullptr;
};

/// Combines the operands of all lanes of a wave, in place; operands[lane] points into that lane's stack.
using Perform = void (*)(void* const* operands, int lanes);

/// A wave of the workgroup that runs: who has arrived at its collective.
struct Wave {
  int lanes = 0;
  int arrived = 0;
  Perform perform = nullptr;
  const char* what = "";
  Site site;
  std::array<void*, 64> operands;
  std::array<Fiber*, 64> fibers;
};

/// An LDS array of this worker. A static one keeps its place for all kernels and workgroups that declare it:
/// right-aligned against unmapped memory, so that an overrun stops at the guilty statement.
struct LdsArray {
  std::string name;
  Site site;
  char* data = nullptr;
  size_t bytes = 0;
  std::unique_ptr<ShadowRegion> shadow;  ///< host-races
};

/// Why a workgroup ended early. Noted on the fiber or in the signal handler, put into words on the worker's own stack.
struct Trouble {
  enum class Kind { kNone, kSignal, kDivergence, kShadow, kMessage, kUnavailable };
  Kind kind = Kind::kNone;
  bool of_thread = true;  ///< false: found at the end of the workgroup
  int signal = 0;
  uintptr_t address = 0;
  uintptr_t instruction = 0;
  bool write = false;
  std::string message;
};

/// One launch, shared by the workers that run its workgroups.
struct Job {
  const LaunchShape* shape = nullptr;
  void (*invoke)(void*) = nullptr;
  void* context = nullptr;
  ExecConfig config;
  uint64_t blocks = 0;
  uint64_t sequence = 0;              ///< in the launch ring
  std::vector<uint32_t> block_order;  ///< empty: by number
  uint64_t started = 0;               ///< time stamp counter
  bool helped = false;                ///< the pool was woken; only the calling worker looks

  alignas(64) std::atomic<uint64_t> next{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  bool failed = false;
  ErrorKind kind = ErrorKind::kDeviceFault;
  std::string text;  ///< of the first failure
};

class Worker {
 public:
  Worker();
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  static Worker& of_this_thread();

  /// Runs workgroups of the job until none are left or one failed; notes a failure in the job.
  void run(Job& job, bool calling);
  /// First thing on a new fiber; `left` is the fiber that was left, `context` its context.
  void start_fiber(void* left, void* context);

  // ---- on fibers, from kernels
  void barrier(Site site);
  /// Waits until every lane of the wave is here; the last one runs `perform`. `full`: a wave with missing lanes (a
  /// workgroup that is no multiple of the wave) is an error.
  void meet(void* operand, Perform perform, const char* what, Site site, bool full = true);
  void place_lds(LdsSlot& slot, const LdsDeclaration& declaration);
  void* dynamic_lds() const { return lds_.front()->data; }
  const ExecConfig& config() const { return job_->config; }
  const Job& job() const { return *job_; }
  /// Ends the workgroup: to run(), leaving every fiber of the workgroup where it is.
  [[noreturn]] void abandon();
  [[noreturn]] void fail(Trouble::Kind kind, std::string message);

  // ---- for the signal handler and reports
  bool in_kernel() const { return current_ != &main_; }
  Trouble& trouble() { return trouble_; }
  const Fiber* fiber_with_guard_at(uintptr_t address) const;
  const LdsArray* lds_near(uintptr_t address, int64_t* offset) const;
  uintptr_t lds_with_shadow(const ShadowRegion* region) const;
  bool on_stack(uintptr_t address) const {
    return address - reinterpret_cast<uintptr_t>(current_->stack) < current_->stack_bytes;
  }
  /// The fibers that are inside a thread, and how many threads have started and ended.
  std::vector<const Fiber*> busy_fibers() const;

 private:
  friend std::string divergence_text(const Worker& worker);
  void fiber_loop();
  void run_threads(Fiber& self);
  bool next_block();
  void consider_help(uint64_t done);
  void prepare_dynamic_lds(size_t bytes);
  void begin_lds();
  void free_lds();
  void end_block();
  void pass_on();
  void complete_barrier();
  void complete_wave(Wave& wave);
  void switch_to(Fiber& to);
  Fiber& idle_fiber();
  bool grow_fibers();
  void renew(size_t index);
  void restart_fibers();
  void prepare(Job& job);
  void restore(const Fiber& self);

  Job* job_ = nullptr;
  bool calling_ = false;
  Fiber main_;
  Fiber* current_ = &main_;
  Fiber* abandoned_ = nullptr;  ///< the fiber that called abandon()

  // The workgroup.
  struct ThreadIndex {
    uint3 index;
    unsigned linear;
  };
  std::vector<ThreadIndex> table_;  ///< threads in the order in which they start
  unsigned n_threads_ = 0;
  unsigned next_ = 0;      ///< first of table_ that has not started
  unsigned finished_ = 0;  ///< threads that have left the kernel
  uint64_t block_ = 0;     ///< linear number
  uint64_t random_ = 0;

  // Fibers that can go on (a ring), wait at the barrier, and have nothing to do.
  std::array<Fiber*, kMaxThreads> queues_[2];
  Fiber** ready_ = queues_[0].data();
  Fiber** waiting_ = queues_[1].data();
  unsigned head_ = 0, tail_ = 0;
  unsigned arrived_ = 0;
  Site barrier_site_;
  std::array<Fiber*, kMaxThreads> idle_;
  unsigned n_idle_ = 0;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::array<Wave, kMaxThreads / 32> waves_;

  // LDS: the arena is cut into slots, an array each; slot 0 is dynamic LDS.
  LdsArray& new_lds_array(std::string name, Site site, size_t bytes, size_t alignment, unsigned element_bytes);
  char* arena_ = nullptr;
  std::vector<std::unique_ptr<LdsArray>> lds_;  ///< by slot
  std::vector<const LdsArray*> placed_;         ///< of this workgroup
  size_t lds_used_ = 0;

  Trouble trouble_;
  // What prepare() made the table for.
  uint3 table_block_ = {};
  ExecConfig::Order table_order_ = ExecConfig::Order::kForward;
};

extern __thread Worker* t_worker;

/// Maps `bytes` right-aligned (or left-aligned) between unmapped zones of at least `guard` bytes; the slack up to the
/// page boundary holds kSlack. Throws kOutOfMemory naming `name`.
platform::Memory map_guarded(const std::string& name, size_t bytes, size_t alignment, size_t guard);
inline constexpr uint8_t kSlack = 0xc6;
void fill_slack(const platform::Memory& memory);
std::optional<platform::GuardDamage> slack_damage(const platform::Memory& memory);
void fill_pattern(void* to, size_t bytes, uint32_t pattern);

/// Lets the pool's threads join the job (no more than config.workers - 1), and waits for those that did.
void wake_helpers(Job& job);
void wait_for_helpers(Job& job);

/// Installs the handlers of memory and arithmetic faults, and this thread's alternate stack.
void install_fault_handlers();

/// What went wrong, in words. Run on the worker's own stack.
std::string describe_trouble(const Worker& worker, const Trouble& trouble, const Job& job, uint64_t block);
std::string divergence_text(const Worker& worker);
/// "kernels/x/v1.hip:42" of an instruction, through debug information; "instruction 0x... of <program>" without.
std::string source_line(uintptr_t instruction);
std::string text_of(const Site& site);
std::string text_of(const uint3& v);

}  // namespace greta::hip::host
