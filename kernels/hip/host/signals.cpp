// Faults of kernels: the handler notes what happened and leaves the workgroup for the worker's own stack. A fault
// anywhere else takes its normal course.
#include <ucontext.h>
#include <csignal>
#include <cstdlib>

#include "kernels/hip/host/executor.hpp"

namespace greta::hip::host {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
struct sigaction g_previous[NSIG];

void on_fault(int signal, siginfo_t* info, void* context) {
  Worker* const worker = t_worker;
  const bool raised_by_code = info->si_code > 0;
  if (worker == nullptr || !worker->in_kernel() || !raised_by_code) {
    sigaction(signal, &g_previous[signal], nullptr);
    if (!raised_by_code) raise(signal);
    return;  // the statement runs again and meets the previous handler
  }
  const auto* registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  Trouble& trouble = worker->trouble();
  trouble.kind = Trouble::Kind::kSignal;
  trouble.signal = signal;
  trouble.address = reinterpret_cast<uintptr_t>(info->si_addr);
  trouble.instruction = static_cast<uintptr_t>(registers[REG_RIP]);
  constexpr greg_t kWriteAccess = 2;
  trouble.write = (registers[REG_ERR] & kWriteAccess) != 0;
  worker->abandon();
}

/// A stack of its own for the handler: the faulting one may have overflowed.
struct AlternateStack {
  static constexpr size_t kBytes = 64 * 1024;
  void* memory = std::aligned_alloc(4096, kBytes);
  stack_t previous{};
  AlternateStack() {
    stack_t stack{};
    stack.ss_sp = memory;
    stack.ss_size = kBytes;
    sigaltstack(&stack, &previous);
  }
  ~AlternateStack() {
    sigaltstack(&previous, nullptr);
    std::free(memory);
  }
};

}  // namespace

void install_fault_handlers() {
  static std::once_flag installed;
  std::call_once(installed, [] {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    // NODEFER: abandon() never returns from the handler, so the signal must not stay blocked.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    for (const int signal : kSignals) sigaction(signal, &action, &g_previous[signal]);
  });
  thread_local AlternateStack stack;
}

}  // namespace greta::hip::host

#if defined(__SANITIZE_ADDRESS__)
// Read by AddressSanitizer at start. The handlers' stack above is ours: the sanitizer must not replace or free it.
// Kernel frames live on fiber stacks of one size, so no frames on the heap.
extern "C" const char* __asan_default_options() { return "use_sigaltstack=0:detect_stack_use_after_return=0"; }
#endif
