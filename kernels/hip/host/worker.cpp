// Making and ending workers: the memory of their fibers.
#if defined(__SANITIZE_ADDRESS__)
#  include <sanitizer/asan_interface.h>
#endif

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "kernels/hip/host/executor.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip::host {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kFibersAtOnce = 64;

}  // namespace

Worker::Worker() {
  t_worker = this;
  install_fault_handlers();
  if (!grow_fibers())
    throw Error(ErrorKind::kOutOfMemory,
                concat("no memory for the stacks of kernel threads (", std::strerror(errno), ")"));
}

Worker::~Worker() {
  for (const auto& f : fibers_) {
#if defined(__SANITIZE_ADDRESS__)
    // Frames that a fault abandoned left red zones; the next mapping may lie here.
    __asan_unpoison_memory_region(f->stack, f->stack_bytes);
#endif
    munmap(f->stack - kPage, f->stack_bytes + kPage);
  }
  free_lds();
  t_worker = nullptr;
}

Worker& Worker::of_this_thread() {
  if (t_worker == nullptr) {
    thread_local std::unique_ptr<Worker> worker;
    worker = std::make_unique<Worker>();
  }
  return *t_worker;
}

bool Worker::grow_fibers() {
  const size_t first = fibers_.size();
  for (size_t i = 0; i < kFibersAtOnce; ++i) {
    const size_t mapped = kStackBytes + kPage;
    void* const base =
        mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) break;
    if (mprotect(base, kPage, PROT_NONE) != 0) {
      munmap(base, mapped);
      break;
    }
    auto fiber = std::make_unique<Fiber>();
    fiber->stack = static_cast<char*>(base) + kPage;
    fiber->stack_bytes = kStackBytes;
    fibers_.push_back(std::move(fiber));
  }
  for (size_t i = fibers_.size(); i-- > first;) renew(i);
  return fibers_.size() > first;
}

const Fiber* Worker::fiber_with_guard_at(uintptr_t address) const {
  for (const auto& f : fibers_) {
    const auto stack = reinterpret_cast<uintptr_t>(f->stack);
    if (address >= stack - kPage && address < stack) return f.get();
  }
  return nullptr;
}

}  // namespace greta::hip::host
