#include "kernels/hip/host/executor.hpp"

#include <boost/context/detail/fcontext.hpp>

#include <cstring>
#include <utility>

#include "kernels/hip/launch_ring.hpp"
#include "kernels/hip/text.hpp"

#if defined(__SANITIZE_ADDRESS__)
#  include <sanitizer/common_interface_defs.h>
#endif

namespace greta::hip::host {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

__thread ThreadState t_state;
__thread Worker* t_worker;

namespace {

/// Every switch ends here, on the other side: the fiber that was left gets its context.
inline void arrive(Fiber& self, transfer_t from) {
  static_cast<Fiber*>(from.data)->context = from.fctx;
#if defined(__SANITIZE_ADDRESS__)
  auto* left = static_cast<Fiber*>(from.data);
  const void* bottom = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self.asan_stack, &bottom, &bytes);
  if (left->stack == nullptr) {  // the worker's own stack, seen for the first time
    left->stack = static_cast<char*>(const_cast<void*>(bottom));
    left->stack_bytes = bytes;
  }
#else
  (void)self;
#endif
}

uint64_t splitmix(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

bool same(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

}  // namespace

// ------------------------------------------------------------------------------------------------------------- fibers

void Worker::switch_to(Fiber& to) {
  Fiber& from = *current_;
  current_ = &to;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.asan_stack, to.stack, to.stack_bytes);
#endif
  arrive(from, jump_fcontext(to.context, &from));
}

void Worker::abandon() {
  Fiber& from = *current_;
  abandoned_ = &from;
  current_ = &main_;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, main_.stack, main_.stack_bytes);
#endif
  jump_fcontext(main_.context, &from);
  __builtin_unreachable();
}

void Worker::fail(Trouble::Kind kind, std::string message) {
  trouble_.kind = kind;
  trouble_.message = std::move(message);
  abandon();
}

namespace {
void enter(transfer_t from) {
  Worker& worker = *t_worker;
  worker.start_fiber(from.data, from.fctx);
}
}  // namespace

void Worker::start_fiber(void* left, void* context) {
  current_->asan_stack = nullptr;
  arrive(*current_, {context, left});
  fiber_loop();
}

void Worker::fiber_loop() {
  Fiber& self = *current_;
  for (;;) {
    run_threads(self);
    self.waits = Waits::kIdle;
    if (head_ == tail_) {
      if (finished_ != n_threads_) fail(Trouble::Kind::kDivergence, {});
      end_block();
      if (next_block()) continue;
      idle_[n_idle_++] = &self;
      switch_to(main_);
    } else {
      idle_[n_idle_++] = &self;
      switch_to(*ready_[head_++ % kMaxThreads]);
    }
  }
}

void Worker::run_threads(Fiber& self) {
  self.waits = Waits::kNothing;
  const auto invoke = job_->invoke;
  void* const context = job_->context;
  try {
    while (next_ < n_threads_) {
      const ThreadIndex& thread = table_[next_++];
      self.thread = thread.index;
      self.linear = thread.linear;
      t_state.thread = thread.index;
      t_state.linear = thread.linear;
      invoke(context);
      ++finished_;
    }
  } catch (const std::exception& error) {
    trouble_.message = concat("the kernel threw an exception: ", error.what());
  } catch (...) {
    trouble_.message = "the kernel threw an exception";
  }
  if (!trouble_.message.empty()) {
    trouble_.kind = Trouble::Kind::kMessage;
    abandon();
  }
}

Fiber& Worker::idle_fiber() {
  if (n_idle_ == 0 && !grow_fibers())
    fail(Trouble::Kind::kUnavailable, concat("no memory for the stacks of ", n_threads_,
                                             " threads; fewer workers (--workers) or a higher vm.max_map_count help"));
  return *idle_[--n_idle_];
}

/// Puts the fiber at the start of its loop, whatever it was doing.
void Worker::renew(size_t index) {
  Fiber& f = *fibers_[index];
  // Tops are staggered by cache lines: equal tops would fall into the same L1 sets.
  char* const top = f.stack + f.stack_bytes - 64 * (index % 32);
  f.context = make_fcontext(top, static_cast<size_t>(top - f.stack), enter);
  f.waits = Waits::kIdle;
  f.asan_stack = nullptr;
  idle_[n_idle_++] = &f;
}

void Worker::restart_fibers() {
  n_idle_ = 0;
  for (size_t i = fibers_.size(); i-- > 0;) {
    if (fibers_[i]->waits == Waits::kIdle && fibers_[i]->context != nullptr) {
      idle_[n_idle_++] = fibers_[i].get();
    } else {
      renew(i);
    }
  }
}

// --------------------------------------------------------------------------------------------------------- workgroups

void Worker::prepare(Job& job) {
  job_ = &job;
  const Extent3& b = job.shape->block;
  const Extent3& g = job.shape->grid;
  t_state.block_dim = {b.x, b.y, b.z};
  t_state.grid_dim = {g.x, g.y, g.z};
  t_state.wave = job.config.wave;
  n_threads_ = static_cast<unsigned>(b.total());
  if (table_.size() != n_threads_ || table_block_.x != b.x || table_block_.y != b.y ||
      table_order_ != job.config.order || job.config.order == ExecConfig::Order::kRandom) {
    table_.resize(n_threads_);
    for (unsigned i = 0; i < n_threads_; ++i) {
      const unsigned t = job.config.order == ExecConfig::Order::kReverse ? n_threads_ - 1 - i : i;
      table_[i] = {{t % b.x, t / b.x % b.y, t / b.x / b.y}, t};
    }
    table_block_ = {b.x, b.y, b.z};
    table_order_ = job.config.order;
  }
  const auto wave = static_cast<unsigned>(job.config.wave);
  for (unsigned w = 0; w * wave < n_threads_; ++w)
    waves_[w].lanes = static_cast<int>(std::min(wave, n_threads_ - w * wave));
  prepare_dynamic_lds(job.shape->dynamic_lds_bytes);
  if (kRaces) Shadow::instance().begin_launch(neutral::arguments_of(job.sequence), job.config.wave);
}

bool Worker::next_block() {
  Job& job = *job_;
  if (job.stop.load(std::memory_order_relaxed)) return false;
  const uint64_t i = job.next.fetch_add(1, std::memory_order_relaxed);
  if (i >= job.blocks) return false;
  if (calling_ && !job.helped && i > 0) consider_help(i);
  block_ = i;
  if (job.config.order == ExecConfig::Order::kReverse) block_ = job.blocks - 1 - i;
  if (!job.block_order.empty()) block_ = job.block_order[i];
  const uint3& g = t_state.grid_dim;
  if (g.y == 1 && g.z == 1) {
    t_state.block = {static_cast<unsigned>(block_), 0, 0};
  } else {
    t_state.block = {static_cast<unsigned>(block_ % g.x), static_cast<unsigned>(block_ / g.x % g.y),
                     static_cast<unsigned>(block_ / g.x / g.y)};
  }
  ++t_state.block_generation;
  next_ = finished_ = arrived_ = head_ = tail_ = 0;
  if (job.config.order == ExecConfig::Order::kRandom) {
    random_ = job.config.order_seed * 0x9e3779b97f4a7c15u + block_;
    for (unsigned t = n_threads_; t > 1; --t) std::swap(table_[t - 1], table_[splitmix(random_) % t]);
  }
  begin_lds();
  if (kRaces) Shadow::instance().begin_block(block_);
  return true;
}

void Worker::consider_help(uint64_t done) {
  // Waking the pool costs several microseconds: worth it only when what is left, at the pace so far, costs far more.
  constexpr uint64_t kWorthwhile = 60'000;  // cycles
  const uint64_t elapsed = __rdtsc() - job_->started;
  if (elapsed * (job_->blocks - done) > kWorthwhile * done) {
    job_->helped = true;
    wake_helpers(*job_);
  }
}

void Worker::run(Job& job, bool calling) {
  calling_ = calling;
  prepare(job);
  if (next_block()) {
    Fiber& first = idle_fiber();
    switch_to(first);
  }
  if (trouble_.kind != Trouble::Kind::kNone) {
    job.stop = true;
    const Trouble trouble = std::exchange(trouble_, {});
    const std::string text = describe_trouble(*this, trouble, job, block_);
    for (Wave& wave : waves_) wave.arrived = 0;
    abandoned_->context = nullptr;
    restart_fibers();
    std::lock_guard lock(job.mutex);
    if (!job.failed) {
      job.failed = true;
      job.text = text;
      job.kind = trouble.kind == Trouble::Kind::kUnavailable ? ErrorKind::kInvalidArgument : ErrorKind::kDeviceFault;
    }
  }
  t_state.block_generation += 1;  // no kernel runs: an LDS slot that is current belongs to nobody
}

// ------------------------------------------------------------------------------------------------------------ waiting

void Worker::restore(const Fiber& self) {
  t_state.thread = self.thread;
  t_state.linear = self.linear;
}

void Worker::pass_on() {
  Fiber& self = *current_;
  Fiber* next;
  const bool unstarted = next_ < n_threads_;
  bool start = head_ == tail_;
  if (!start && unstarted && job_->config.order == ExecConfig::Order::kRandom) start = splitmix(random_) & 1;
  if (!start) {
    next = ready_[head_++ % kMaxThreads];
  } else if (unstarted) {
    next = &idle_fiber();
  } else {
    fail(Trouble::Kind::kDivergence, {});
  }
  if (next != &self) switch_to(*next);
  self.waits = Waits::kNothing;
  restore(self);
}

void Worker::barrier(Site site) {
  Fiber& self = *current_;
  self.waits = Waits::kBarrier;
  self.what = "__syncthreads";
  self.site = site;
  if (arrived_ == 0) {
    barrier_site_ = site;
  } else if (!same(site, barrier_site_)) {
    fail(Trouble::Kind::kDivergence, {});
  }
  waiting_[arrived_++] = &self;
  if (arrived_ == n_threads_) complete_barrier();
  pass_on();
}

void Worker::complete_barrier() {
  std::swap(ready_, waiting_);  // nobody else can be ready: all are here
  head_ = 0;
  tail_ = n_threads_;
  arrived_ = 0;
  if (kRaces) Shadow::instance().block_barrier();
  if (job_->config.order == ExecConfig::Order::kRandom)
    for (unsigned t = n_threads_; t > 1; --t) std::swap(ready_[t - 1], ready_[splitmix(random_) % t]);
}

void Worker::meet(void* operand, Perform perform, const char* what, Site site, bool full) {
  Fiber& self = *current_;
  self.waits = Waits::kWave;
  self.what = what;
  self.site = site;
  Wave& wave = waves_[self.linear / static_cast<unsigned>(t_state.wave)];
  const auto lane = self.linear % static_cast<unsigned>(t_state.wave);
  if (wave.arrived == 0) {
    if (full && wave.lanes != t_state.wave)
      fail(Trouble::Kind::kMessage,
           concat(what, " at ", text_of(site), " in a wave of ", wave.lanes,
                  " threads: the workgroup must be a multiple of the wave (", t_state.wave, ")"));
    wave.perform = perform;
    wave.what = what;
    wave.site = site;
  } else if (wave.perform != perform || !same(site, wave.site)) {
    fail(Trouble::Kind::kDivergence, {});
  }
  wave.operands[lane] = operand;
  wave.fibers[lane] = &self;
  if (++wave.arrived == wave.lanes) complete_wave(wave);
  pass_on();
}

void Worker::complete_wave(Wave& wave) {
  if (wave.perform) wave.perform(wave.operands.data(), wave.lanes);
  if (kRaces && !wave.perform) Shadow::instance().wave_barrier(static_cast<unsigned>(&wave - waves_.data()));
  wave.arrived = 0;
  const auto push = [&](int lane) { ready_[tail_++ % kMaxThreads] = wave.fibers[static_cast<size_t>(lane)]; };
  switch (job_->config.order) {
    case ExecConfig::Order::kForward:
      for (int lane = 0; lane < wave.lanes; ++lane) push(lane);
      break;
    case ExecConfig::Order::kReverse:
      for (int lane = wave.lanes; lane-- > 0;) push(lane);
      break;
    case ExecConfig::Order::kRandom:
      for (unsigned t = static_cast<unsigned>(wave.lanes); t > 1; --t)
        std::swap(wave.fibers[t - 1], wave.fibers[splitmix(random_) % t]);
      for (int lane = 0; lane < wave.lanes; ++lane) push(lane);
      break;
  }
}

std::vector<const Fiber*> Worker::busy_fibers() const {
  std::vector<const Fiber*> busy;
  for (const auto& f : fibers_)
    if (f->waits != Waits::kIdle) busy.push_back(f.get());
  return busy;
}

void barrier(Site site) { t_worker->barrier(site); }
void wave_barrier(Site site) { t_worker->meet(nullptr, nullptr, "wave_barrier", site, false); }

}  // namespace greta::hip::host
