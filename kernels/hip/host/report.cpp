// Faults in words: what, where in the kernel, which buffer and argument, which line.
#include <algorithm>
#include <csignal>
#include <map>

#include "kernels/hip/blame.hpp"
#include "kernels/hip/host/executor.hpp"
#include "kernels/hip/launch_ring.hpp"
#include "kernels/hip/registry.hpp"
#include "kernels/hip/text.hpp"

namespace greta::hip::host {
namespace {

std::string hex(uintptr_t value) {
  char digits[32];
  return "0x" + std::string(digits, std::to_chars(digits, digits + sizeof digits, value, 16).ptr);
}

std::string offset_in_array(int64_t offset, size_t bytes) {
  const auto size = static_cast<int64_t>(bytes);
  if (offset < 0) return concat(": ", -offset, " bytes before its start");
  if (offset == size) return ": first byte past its end";
  if (offset > size) return concat(": ", offset - size, " bytes past its end");
  return "";
}

/// The buffer an address belongs to, and the launch's argument for it.
std::string place_of(const Worker& worker, uintptr_t address) {
  int64_t offset = 0;
  if (const LdsArray* a = worker.lds_near(address, &offset)) {
    const std::string where = a->site.file ? concat(", declared at ", text_of(a->site)) : "";
    return concat("offset ", offset, " of LDS array '", a->name, "' (", a->bytes, " bytes", where, ")",
                  offset_in_array(offset, a->bytes));
  }
  if (address < 65536) return "null pointer";
  const AddressReport report = describe_address(address);
  if (report.allocation.id == 0) return report.text;
  const LaunchRecord launch = neutral::launch_of(worker.job().sequence);
  neutral::Blame blame{report.text, "", "", report.allocation, report.offset, worker.job().sequence, {}};
  for (const LaunchArgument& a : launch.arguments)
    if (a.id == report.allocation.id) {
      blame.argument = a.name, blame.direction = a.direction;
      neutral::blame_place(std::move(blame));
      return concat(report.text, ", argument '", a.name, "' (", a.direction, ")");
    }
  neutral::blame_place(std::move(blame));
  std::string text = report.text + ", no argument of this launch";
  if (report.allocation.freed) text += concat(" (allocated at ", neutral::short_location(report.allocation.where), ")");
  return text;
}

std::string signal_text(const Worker& worker, const Trouble& t, const std::string& where) {
  const std::string line = source_line(t.instruction);
  if (t.signal == SIGFPE) return concat("integer division by zero or overflow in ", where, " at ", line);
  if (t.signal == SIGILL) return concat("trap in ", where, " at ", line);
  if (worker.fiber_with_guard_at(t.address))
    return concat("stack overflow in ", where, " at ", line, ": a thread has ", kStackBytes / 1024,
                  " KiB; large local arrays belong into LDS");
  if (t.address == 0)  // also what an address that is none at all reports
    return concat("illegal access in ", where, " at ", line, ": null or wild pointer");
  return concat("illegal ", t.write ? "write" : "read", " at ", hex(t.address), " in ", where, ": ",
                place_of(worker, t.address), "; at ", line);
}

uint3 block_index(const LaunchShape& shape, uint64_t block) {
  const Extent3& g = shape.grid;
  return {static_cast<unsigned>(block % g.x), static_cast<unsigned>(block / g.x % g.y),
          static_cast<unsigned>(block / g.x / g.y)};
}

uint3 thread_index(const LaunchShape& shape, unsigned linear) {
  const Extent3& b = shape.block;
  return {linear % b.x, linear / b.x % b.y, linear / b.x / b.y};
}

std::string shadow_text(const Worker& worker, const LaunchShape& shape, uint64_t block, const std::string& where) {
  const ShadowFinding& f = Shadow::instance().finding();
  const std::string place = place_of(worker, f.address);
  const std::string here = concat(f.writes ? "write" : "read", " at ", source_line(f.at));
  switch (f.kind) {
    case ShadowFinding::Kind::kRace: {
      const bool blocks = f.other_block != block;
      return concat("race in kernel ", shape.kernel, " block ", text_of(block_index(shape, block)), ": ", place, ": ",
                    here, " by thread ", text_of(t_state.thread), ", ", f.other_writes ? "written" : "read",
                    " before at ", source_line(f.other_at), " by ",
                    blocks ? concat("block ", text_of(block_index(shape, f.other_block)), " ") : "", "thread ",
                    text_of(thread_index(shape, f.other_thread)),
                    blocks ? "; nothing orders workgroups" : "; no barrier lies between");
    }
    case ShadowFinding::Kind::kUninitialisedLds:
      return concat("uninitialised LDS read in ", where, ": ", place, ": ", here,
                    "; no thread of the workgroup has written it yet (never, or a barrier is missing)");
    case ShadowFinding::Kind::kUnwrittenOut:
      return concat("uninitialised read in ", where, ": ", place, ": ", here,
                    "; an out() argument is read before this launch has written it");
    case ShadowFinding::Kind::kWriteToInput:
      return concat("write to an input in ", where, ": ", place, "; ", here);
    case ShadowFinding::Kind::kOutside:
      return concat("illegal ", f.writes ? "write" : "read", " in ", where, ": ", place,
                    ", outside the elements that the launch declares; ", here);
  }
  return where;
}

}  // namespace

std::string text_of(const Site& site) {
  return neutral::short_location(site.file ? site.file : "?", static_cast<unsigned>(site.line));
}
std::string text_of(const uint3& v) { return concat("(", v.x, ",", v.y, ",", v.z, ")"); }

std::string describe_trouble(const Worker& worker, const Trouble& trouble, const Job& job, uint64_t block) {
  std::string where = concat("kernel ", job.shape->kernel, " block ", text_of(block_index(*job.shape, block)));
  if (trouble.of_thread && trouble.kind != Trouble::Kind::kDivergence)
    where += concat(" thread ", text_of(t_state.thread));
  std::string what;
  if (trouble.kind == Trouble::Kind::kSignal)
    what = signal_text(worker, trouble, where);
  else if (trouble.kind == Trouble::Kind::kDivergence)
    what = concat("barrier divergence in ", where, ": ", divergence_text(worker));
  else if (trouble.kind == Trouble::Kind::kShadow)
    what = shadow_text(worker, *job.shape, block, where);
  else
    what = concat(where, ": ", trouble.message);
  return concat(what, "; launched at ", neutral::short_location(job.shape->where));
}

std::string divergence_text(const Worker& worker) {
  struct Group {
    unsigned count = 0;
    const Fiber* first = nullptr;
  };
  std::map<std::string, Group> waiting;  // "__syncthreads at file:line"
  std::vector<char> busy(worker.n_threads_, 0);
  for (const Fiber* f : worker.busy_fibers()) {
    busy[f->linear] = 1;
    if (f->waits == Waits::kNothing) continue;  // can go on
    Group& g = waiting[concat(f->what, " at ", text_of(f->site))];
    ++g.count;
    if (!g.first || f->linear < g.first->linear) g.first = f;
  }
  std::vector<std::pair<unsigned, std::string>> parts;
  const auto threads = [](unsigned n) { return concat(n, n == 1 ? " thread" : " threads"); };
  for (const auto& [site, g] : waiting)
    parts.emplace_back(g.first->linear, concat(threads(g.count), g.count == 1 ? " waits in " : " wait in ", site,
                                               " (first: thread ", text_of(g.first->thread), ")"));
  // Threads that have started and are in no fiber have left the kernel.
  unsigned left = 0;
  const Worker::ThreadIndex* first = nullptr;
  for (unsigned i = 0; i < worker.next_; ++i) {
    const auto& t = worker.table_[i];
    if (busy[t.linear]) continue;
    ++left;
    if (!first || t.linear < first->linear) first = &t;
  }
  if (left)
    parts.emplace_back(first->linear, concat(threads(left), left == 1 ? " has" : " have",
                                             " left the kernel (first: thread ", text_of(first->index), ")"));
  std::sort(parts.begin(), parts.end());
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) text += (i ? ", " : "") + parts[i].second;
  return text + "; every thread of the workgroup (or wave) must arrive at one place";
}

void unavailable(const char* what, Site site) {
  t_worker->fail(Trouble::Kind::kUnavailable, concat("uses ", what, ", at ", text_of(site)));
}

}  // namespace greta::hip::host
