#include "runners/fault_attribution.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "kernels/hip/error.hpp"
#include "runners/audits/scratch_folder.hpp"
#include "runners/fault_report.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

namespace fs = std::filesystem;
using Kind = Attribution::Kind;

class Finder {
 public:
  Finder(const std::vector<std::string>& argv, double limit_s) : argv_(argv), limit_s_(limit_s) {}

  Attribution find() {
    const FaultRun first = run("as asked", {});
    if (first.child.error.size())
      throw Error(ErrorKind::kIo, fmt::format("{}: {}", program_path(), first.child.how_it_ended()));
    if (!first.faulted()) return done(Kind::kNone);
    if (first.report && first.report->refused) return named(*first.report);

    const FaultRun waiting = run("checked, waiting after every launch", {"--checked", "1", "--sync-every", "1"});
    if (waiting.report) return named(*waiting.report);
    if (waiting.child.timed_out) return hang(waiting);
    if (waiting.child.signal) return died(waiting);
    return bisect(first, waiting);
  }

 private:
  FaultRun run(const std::string& how, std::vector<std::string> more) {
    const std::string report = scratch_.file("report.json"), flight = scratch_.file("flight");
    fs::remove(report), fs::remove(flight);
    std::vector<std::string> words = {program_path()};
    words.insert(words.end(), argv_.begin(), argv_.end());
    words.insert(words.end(), {"--fault-report", report, "--flight-recorder", flight});
    if (hip::platform_name() != "host") words.push_back("--device-marks");
    words.insert(words.end(), more.begin(), more.end());
    FaultRun r;
    r.how = how;
    r.child = run_child({.argv = words, .limit_s = limit_s_, .folder = {}, .environment = {}, .file_size_limit = {}});
    r.report = read_fault_report_of(report);
    if (fs::exists(flight)) r.flight = hip::read_flight(flight);
    result_.runs.push_back(r);
    return r;
  }

  static std::optional<hip::FaultReport> read_fault_report_of(const std::string& path);

  Attribution done(Kind kind) {
    result_.kind = kind;
    return std::move(result_);
  }

  Attribution named(const hip::FaultReport& report) {
    result_.report = report;
    return done(Kind::kNamed);
  }

  static const hip::Flight::Launch* unfinished(const FaultRun& r) {
    if (r.flight)
      for (const auto& launch : r.flight->launches)
        if (!launch.finished) return &launch;
    return nullptr;
  }

  Attribution hang(const FaultRun& r) {
    result_.report.text = fmt::format("no end within {:.0f} s; {}", limit_s_, r.last_launch());
    if (const auto* launch = unfinished(r)) {
      result_.report.launch = launch->sequence;
      result_.report.kernel = kernel_of(launch->text);
    }
    return done(Kind::kHang);
  }

  Attribution died(const FaultRun& r) {
    result_.report.text = fmt::format("{}; {}", r.child.how_it_ended(), r.last_launch());
    const auto* launch = unfinished(r);
    if (!launch) return done(Kind::kBetween);
    result_.report.launch = launch->sequence;
    result_.report.kernel = kernel_of(launch->text);
    return done(Kind::kNamed);
  }

  /// "#17 rms_norm<f16> grid ..." -> "rms_norm<f16>".
  static std::string kernel_of(const std::string& text) {
    const size_t begin = text.find(' ') + 1;
    return text.substr(begin, text.find(" grid", begin) - begin);
  }

  FaultRun until(uint64_t n) {
    return run(n ? fmt::format("waiting after each of launches #1..#{}", n) : std::string("waiting for none"),
               {"--checked", "0", "--sync-every", "0", "--sync-until", std::to_string(n)});
  }

  /// It vanished under waits. The fewest first launches that must be waited for: waits up to `lo` leave the fault,
  /// waits up to `hi` take it away; the last of those is what somebody should have waited for.
  Attribution bisect(const FaultRun& first, const FaultRun& waiting) {
    uint64_t lo = 0, hi = waiting.flight ? waiting.flight->begun : 0;
    if (hi == 0 || !until(0).faulted() || until(hi).faulted()) return unstable(first);
    while (hi - lo > 1) {
      const uint64_t middle = lo + (hi - lo) / 2;
      (until(middle).faulted() ? lo : hi) = middle;
    }
    const FaultRun bad = until(lo), good = until(hi);  // once more, for a fault that comes and goes by itself
    if (!bad.faulted() || good.faulted()) return unstable(first);
    // What the fault can come from: the launch to be waited for, and those after it that ran while it was in flight.
    const uint64_t last = bad.report && bad.report->launch ? bad.report->launch + 1 : hi + 8;
    if (good.flight)
      for (const auto& launch : good.flight->launches)
        if (launch.sequence == hi || (launch.sequence > hi && launch.sequence <= last && launch.sequence + 4 > last))
          result_.candidates.push_back(launch.text);
    if (bad.report) result_.report = *bad.report;
    result_.report.launch = hi;
    result_.report.kernel = result_.candidates.empty() ? "" : kernel_of(result_.candidates.front());
    return done(Kind::kAsynchronous);
  }

  Attribution unstable(const FaultRun& first) {
    if (first.report) result_.report = *first.report;
    return done(Kind::kUnstable);
  }

  const std::vector<std::string>& argv_;
  double limit_s_;
  ScratchFolder scratch_{"greta_fault"};
  Attribution result_;
};

std::optional<hip::FaultReport> Finder::read_fault_report_of(const std::string& path) {
  return fs::exists(path) ? read_fault_report(path) : std::nullopt;
}

}  // namespace

std::string FaultRun::last_launch() const {
  if (!flight || flight->begun == 0) return "no launch was begun";
  std::string text = fmt::format("launches #1..#{} were begun", flight->begun);
  for (const auto& launch : flight->launches)
    if (!launch.finished) return text + "; first that is not known to have finished: " + launch.text;
  return text + ", and all finished; last: " + flight->launches.back().text;
}

std::string attribution_name(Kind kind) {
  switch (kind) {
    case Kind::kNone:
      return "none";
    case Kind::kNamed:
      return "named";
    case Kind::kBetween:
      return "between launches";
    case Kind::kHang:
      return "hang";
    case Kind::kAsynchronous:
      return "asynchronous";
    case Kind::kUnstable:
      return "unstable";
  }
  return "?";
}

std::string Attribution::text() const {
  const auto place = [this] {
    std::string words;
    if (report.launch) words += fmt::format("launch #{} ", report.launch);
    words += fmt::format("kernel {}", report.kernel.empty() ? "unknown" : report.kernel);
    if (!report.argument.empty()) words += fmt::format(", argument '{}' ({})", report.argument, report.direction);
    if (!report.buffer.empty())
      words += fmt::format(", buffer '{}' ({} bytes{})", report.buffer, report.buffer_bytes,
                           report.buffer_freed ? ", freed" : "");
    if (report.offset) words += fmt::format(", offset {}", *report.offset);
    return words;
  };
  switch (kind) {
    case Kind::kNone:
      return fmt::format("no fault: {}", runs.empty() ? "nothing ran" : runs.front().child.how_it_ended());
    case Kind::kNamed:
      return fmt::format("{}{}\n  {}", report.refused ? "refused before it ran: " : "", place(), report.text);
    case Kind::kBetween:
      return "the process died outside launches: " + report.text;
    case Kind::kHang:
      return fmt::format("hang in {}: {}", place(), report.text);
    case Kind::kAsynchronous: {
      std::string words = fmt::format(
          "reproduces only asynchronously: lifetime or ordering. The fault is gone as soon as launch #{} ({}) is "
          "waited "
          "for: something uses or releases its buffers before it is done. Candidates:",
          report.launch, report.kernel);
      for (const std::string& c : candidates) words += "\n    " + c;
      return words + "\n  seen as: " + report.text;
    }
    case Kind::kUnstable:
      return fmt::format("seen once, then neither with waits nor without ({} runs): not reproduced{}", runs.size(),
                         report.text.empty() ? "" : "\n  seen as: " + report.text);
  }
  return "?";
}

Attribution attribute_fault(const std::vector<std::string>& argv, double limit_s) {
  return Finder(argv, limit_s).find();
}

}  // namespace greta::runners
