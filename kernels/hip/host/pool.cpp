// The CPU threads that help with launches of many workgroups. The calling thread always runs workgroups itself and
// wakes the others only when the launch is long enough (Worker::consider_help).
#include <unistd.h>

#include <condition_variable>
#include <thread>

#include "kernels/hip/host/executor.hpp"

namespace greta::hip::host {
namespace {

constexpr int kMostHelpers = 23;  ///< by default: each worker needs two mappings a fiber, and there is vm.max_map_count

class Pool {
 public:
  void wake(Job& job) {
    const int configured = job.config.workers;
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    const int helpers = configured ? configured - 1 : std::min(cores - 1, kMostHelpers);
    if (helpers <= 0) return;
    std::lock_guard lock(mutex_);
    while (static_cast<int>(threads_) < helpers) std::thread([this, index = threads_++] { serve(index); }).detach();
    job_ = &job;
    ++turn_;
    allowed_ = static_cast<unsigned>(helpers);
    wake_.notify_all();
  }

  /// No thread looks at the job any more when this returns.
  void wait() {
    std::unique_lock lock(mutex_);
    job_ = nullptr;
    done_.wait(lock, [&] { return active_ == 0; });
  }

 private:
  void serve(unsigned index) {
    uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return job_ != nullptr && turn_ != seen && index < allowed_; });
      seen = turn_;
      Job& job = *job_;
      ++active_;
      lock.unlock();
      Worker::of_this_thread().run(job, false);
      lock.lock();
      if (--active_ == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  uint64_t turn_ = 0;
  unsigned threads_ = 0;
  unsigned allowed_ = 0;
  unsigned active_ = 0;
};

/// Never destroyed: its threads sleep in it until the process ends.
Pool& pool() {
  static auto* p = new Pool;
  return *p;
}

}  // namespace

void wake_helpers(Job& job) { pool().wake(job); }
void wait_for_helpers(Job& job) {
  if (job.helped) pool().wait();
}

}  // namespace greta::hip::host
