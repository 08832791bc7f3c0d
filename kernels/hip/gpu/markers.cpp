// Marks of launches in pinned host memory, written by the device in stream order. They survive a fault that ends the
// context, because the memory is the host's.
#include "kernels/hip/markers.hpp"

#include <atomic>
#include <csignal>

#include "kernels/hip/gpu/api.hpp"
#include "kernels/hip/gpu/memory.hpp"

namespace greta::hip {
namespace {

constexpr uint64_t kKept = 256;
/// begun[i] and finished[i] hold the number of the last launch that marked slot i = number % kKept, modulo 2^32: one
/// word, which the kernel that fills buffers with poison can write.
struct Marks {
  volatile uint32_t begun[kKept];
  volatile uint32_t finished[kKept];
};
std::atomic<Marks*> g_marks{nullptr};
std::atomic<bool> g_on{false};

#if !defined(GRETA_CUDA)
// HIP ends the process at a memory fault: what the device marked goes into the recorder's file on the way.
extern "C" void bring_marks_home(int signal) {
  if (Marks* marks = g_marks.load())
    for (uint64_t i = 0; i < kKept; ++i)
      if (marks->finished[i] != 0) neutral::note_finished_in_signal(marks->finished[i]);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}
#endif

void mark(Stream& stream, volatile uint32_t* to, uint64_t sequence) {
  gpu::enqueue_fill(stream.impl().handle, const_cast<uint32_t*>(to), sizeof *to, static_cast<uint32_t>(sequence));
  gpu::check_after_wait(hipGetLastError(), "marking a launch on stream '" + stream.name() + "'");
}

}  // namespace

std::vector<platform::DeviceMark> platform::device_marks() {
  std::vector<DeviceMark> all;
  if (Marks* marks = g_marks.load())
    for (uint64_t i = 0; i < kKept; ++i)
      if (const uint64_t sequence = marks->begun[i]) all.push_back({sequence, marks->finished[i] == sequence});
  return all;
}

void platform::enable_device_marks(bool on) {
  if (on && !g_marks.load()) {
    gpu::require_device();
    void* memory = nullptr;
    gpu::check(hipHostMalloc(&memory, sizeof(Marks), hipHostMallocMapped), "pinned memory for marks of launches");
    auto* marks = static_cast<Marks*>(memory);
    for (uint64_t i = 0; i < kKept; ++i) {
      marks->begun[i] = 0;
      marks->finished[i] = 0;
    }
    g_marks = marks;  // kept to the end: work in flight may still write
#if !defined(GRETA_CUDA)
    std::signal(SIGABRT, bring_marks_home);
#endif
  }
  g_on = on;
}

void platform::mark_begun(Stream& stream, uint64_t sequence) {
  if (g_on.load(std::memory_order_relaxed)) mark(stream, &g_marks.load()->begun[sequence % kKept], sequence);
}
void platform::mark_finished(Stream& stream, uint64_t sequence) {
  if (g_on.load(std::memory_order_relaxed)) mark(stream, &g_marks.load()->finished[sequence % kKept], sequence);
}

}  // namespace greta::hip
