#include "bench/driver.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <regex>

#include "bench/prelude.hpp"
#include "bench/roofline.hpp"
#include "bench/rotation.hpp"
#include "bench/timing.hpp"
#include "verify/exec_knobs.hpp"

namespace greta::bench {
namespace {

using results::Outcome;
using results::Verdict;

/// A case while Google Benchmark calls it: first to find the iterations, then once a repetition.
struct Running {
  Running(const BenchCase& c, const Options& options)
      : workload(c.make(options)), stream("bench"), timer(*workload, stream) {
    timer.warm_up();
  }
  hip::LaunchLog log;
  std::unique_ptr<Workload> workload;
  hip::Stream stream;
  Timer timer;
  std::optional<double> prelude;
};

/// What the last calls of a case came to; kept when its buffers are gone.
struct Result {
  results::Store::CaseId id = 0;
  std::vector<Summary> calls;
  Judgement judgement;
  Outcome outcome{Verdict::kIncomplete, "did not run"};
  results::Json measured = results::Json::object();
  results::Json config = results::Json::object();
};

class Run {
 public:
  Run(const RunOptions& options, results::Store& store) : options_(options), store_(store) {}

  void call(benchmark::State& state, const BenchCase& c) {
    if (stopped_) return state.SkipWithError("not run: the run was stopped");
    try {
      measure(state, c);
    } catch (const Error& error) {
      results_[c.name()].outcome = {Verdict::kIncomplete, error.what()};
      if (error.kind() != ErrorKind::kOutOfMemory) stopped_ = error;
      if (!out_of_memory_ && error.kind() == ErrorKind::kOutOfMemory) out_of_memory_ = error;
      running_.erase(c.name());
      state.SkipWithError(error.what());
    }
  }

  /// Google Benchmark is done with the case: its record, and its buffers go.
  void finish(const BenchCase& c, int64_t repetitions) {
    Result& r = results_[c.name()];
    results::Record record = record_of(c);
    record.measured = r.measured;
    if (repetitions > 1) {
      results::Json medians = results::Json::array();
      const auto n = std::min<size_t>(r.calls.size(), static_cast<size_t>(repetitions));
      for (size_t i = r.calls.size() - n; i < r.calls.size(); ++i) medians.push_back(r.calls[i].median * 1e6);
      record.measured["repetition_medians_us"] = medians;
    }
    record.config = r.config;
    record.outcome = r.outcome;
    running_.erase(c.name());
    if (r.id == 0) r.id = store_.begin(record);
    try {
      store_.end(r.id, record);
    } catch (const Error& error) {
      if (!stopped_) stopped_ = error;
    }
  }

  /// Errors that end the program with their own exit code.
  void rethrow() const {
    if (stopped_) throw *stopped_;
    if (out_of_memory_) throw *out_of_memory_;
  }

 private:
  void measure(benchmark::State& state, const BenchCase& c) {
    Result& result = results_[c.name()];
    if (result.id == 0) result.id = store_.begin(record_of(c));
    auto at = running_.find(c.name());
    if (at == running_.end()) at = running_.emplace(c.name(), std::make_unique<Running>(c, options_.inputs)).first;
    Running& r = *at->second;
    const int64_t batch = r.timer.batch();

    std::vector<double> samples;
    while (state.KeepRunningBatch(batch)) {
      const double seconds = r.timer.run_batch();
      samples.push_back(seconds / static_cast<double>(batch));
      state.SetIterationTime(seconds);
    }
    const Summary s = summarise(std::move(samples));
    const bool cold = is_cold(r.workload->footprint());
    const double bytes = r.workload->bytes() > 0 ? r.workload->bytes() : c.bytes;
    Judgement j = judge(s.median, bytes, c.flops, c.compute, cold, ceilings_);
    for (int again = 0; again < 3 && !j.too_fast.empty(); ++again) {
      ceilings_.measure_again();
      j = judge(s.median, bytes, c.flops, c.compute, cold, ceilings_);
    }
    result.calls.push_back(s);
    if (c.first_rung) first_[c.row_key()] = s.median;
    const auto first = first_.find(c.row_key());
    const double ratio = first == first_.end() ? 0 : first->second / s.median;

    state.counters["median_us"] = s.median * 1e6;
    state.counters["spread%"] = 100 * s.spread;
    state.counters["GB/s"] = j.gb_per_s;
    state.counters["%copy"] = j.copy_pct;
    state.counters["TFLOP/s"] = j.tflop_per_s;
    state.counters["%flop"] = j.flop_pct;
    state.counters["x_first"] = ratio;
    if (c.tokens > 0) state.counters["tokens/s"] = c.tokens / s.median;
    if (!r.prelude) {
      auto* const with = dynamic_cast<WithPrelude*>(r.workload.get());
      r.prelude = with ? with->prelude(r.stream) : 0.0;
    }
    if (*r.prelude > 0) state.counters["prelude_us"] = *r.prelude * 1e6;
    state.SetLabel(c.problem + (cold ? "" : " (warm: smaller than twice the cache)"));
    result.measured = {{"median_us", s.median * 1e6},
                       {"mean_us", s.mean * 1e6},
                       {"min_us", s.min * 1e6},
                       {"p10_us", s.p10 * 1e6},
                       {"p90_us", s.p90 * 1e6},
                       {"spread", s.spread},
                       {"batches", s.samples},
                       {"launches_a_batch", batch},
                       {"bytes", bytes},
                       {"flops", c.flops},
                       {"gb_per_s", j.gb_per_s},
                       {"copy_pct", j.copy_pct},
                       {"tflop_per_s", j.tflop_per_s},
                       {"flop_pct", j.flop_pct},
                       {"floor_us", j.floor_us},
                       {"times_first_rung", ratio},
                       {"cold", cold},
                       {"slots", r.workload->slots()},
                       {"footprint_bytes", r.workload->footprint()}};
    if (c.tokens > 0) result.measured["tokens_per_s"] = c.tokens / s.median;
    if (*r.prelude > 0) result.measured["prelude_us"] = *r.prelude * 1e6;
    result.config = config_of(r);

    if (const std::string wrong = r.workload->check(r.stream, r.timer.launches()); !wrong.empty()) {
      result.outcome = {Verdict::kFail, "the timed launches gave a wrong answer: " + wrong};
      state.SkipWithError(result.outcome.reason.c_str());
    } else if (!j.too_fast.empty()) {
      result.outcome = {Verdict::kMistrusted, j.too_fast};
      state.SkipWithError(("faster than the roofline: " + j.too_fast).c_str());
    } else {
      result.outcome = {Verdict::kPass, {}};
    }
  }

  results::Json config_of(const Running& r) const {
    results::Json config;
    config["exec"] = verify::exec_as_json();
    config["exp"] = options_.inputs.exp == ExpMode::kHardware ? "hw" : "portable";
    config["ceilings"] = ceilings_.as_json();
    results::Json kernels = results::Json::array();
    for (const auto& row : r.log.rows())
      if (!row.kernel.starts_with("ceiling_"))
        kernels.push_back({{"kernel", row.kernel},
                           {"grid", {row.grid[0], row.grid[1], row.grid[2]}},
                           {"block", {row.block[0], row.block[1], row.block[2]}},
                           {"rows", row.rows},
                           {"count", row.count}});
    config["kernels"] = kernels;
    return config;
  }

  results::Record record_of(const BenchCase& c) const {
    results::Record record;
    record.kind = "bench";
    record.kernel = c.op, record.rung = c.rung, record.arithmetic = c.arithmetic;
    record.case_name = c.row, record.problem = c.problem;
    record.seed = options_.inputs.seed;
    record.repeat =
        fmt::format("./greta bench --filter '^{}$' --seed {}{}", c.name(), options_.inputs.seed, options_.repeat_words);
    return record;
  }

  const RunOptions& options_;
  results::Store& store_;
  Ceilings ceilings_;
  std::map<std::string, std::unique_ptr<Running>> running_;
  std::map<std::string, Result> results_;
  std::map<std::string, double> first_;
  std::optional<Error> stopped_, out_of_memory_;
};

/// Hands everything on to Google Benchmark's own reporter, whichever its flags ask for, and notes what is done.
class Reporter : public benchmark::BenchmarkReporter {
 public:
  Reporter(benchmark::BenchmarkReporter* shown, const std::vector<BenchCase>& cases, bench::Run& run)
      : shown_(shown), run_(run) {
    for (const BenchCase& c : cases) cases_[c.name()] = &c;
  }
  bool ReportContext(const Context& context) override {
    shown_->SetOutputStream(&GetOutputStream());
    shown_->SetErrorStream(&GetErrorStream());
    return shown_->ReportContext(context);
  }
  void ReportRuns(const std::vector<BenchmarkReporter::Run>& runs) override {
    shown_->ReportRuns(runs);
    std::map<std::string, int64_t> done;
    for (const auto& run : runs)
      if (run.run_type == BenchmarkReporter::Run::RT_Iteration) ++done[run.run_name.function_name];
    for (const auto& [name, repetitions] : done)
      if (const auto at = cases_.find(name); at != cases_.end()) run_.finish(*at->second, repetitions);
  }
  void Finalize() override { shown_->Finalize(); }

 private:
  benchmark::BenchmarkReporter* shown_;
  bench::Run& run_;
  std::map<std::string, const BenchCase*> cases_;
};

/// "--benchmark_out=x" -> "x".
std::optional<std::string> value_of(const std::vector<std::string>& flags, const std::string& name) {
  std::optional<std::string> value;
  for (const std::string& flag : flags) {
    if (flag == name) value = "true";
    if (flag.starts_with(name + "=")) value = flag.substr(name.size() + 1);
  }
  return value;
}

bool truthy(const std::optional<std::string>& value) {
  return value && *value != "false" && *value != "no" && *value != "off" && *value != "0" && *value != "f" &&
         *value != "n";
}

std::regex expression(const std::string& flag, const std::string& text) {
  try {
    return std::regex(text, std::regex::extended);
  } catch (const std::regex_error& error) {
    throw_invalid(fmt::format("{} is no regular expression: '{}' ({})", flag, text, error.what()));
  }
}

/// What Google Benchmark's own filter leaves of the cases.
int64_t left_by_benchmark_filter(const std::vector<BenchCase>& cases, const std::vector<std::string>& flags) {
  std::string text = value_of(flags, "--benchmark_filter").value_or("");
  if (text.empty() || text == "all") return static_cast<int64_t>(cases.size());
  const bool negative = text[0] == '-';
  if (negative) text.erase(0, 1);
  const std::regex wanted = expression("--benchmark_filter", text);
  return std::count_if(cases.begin(), cases.end(), [&](const BenchCase& c) {
    return std::regex_search(c.name() + "/manual_time", wanted) != negative;
  });
}

}  // namespace

std::vector<BenchCase> filtered(const std::vector<BenchCase>& cases, const std::string& filter) {
  const std::regex wanted = expression("--filter", filter);
  std::vector<BenchCase> left;
  for (const BenchCase& c : cases)
    if (filter.empty() || std::regex_search(c.name(), wanted)) left.push_back(c);
  return left;
}

void check_flags(const std::vector<std::string>& flags) {
  for (const char* name : {"--benchmark_format", "--benchmark_out_format"})
    if (const auto v = value_of(flags, name); v && *v != "console" && *v != "json" && *v != "csv")
      throw_invalid(fmt::format("{} must be console, json or csv, got '{}'", name, *v));
  if (const auto v = value_of(flags, "--benchmark_time_unit"); v && *v != "ns" && *v != "us" && *v != "ms" && *v != "s")
    throw_invalid(fmt::format("--benchmark_time_unit must be ns, us, ms or s, got '{}'", *v));
  if (const auto v = value_of(flags, "--benchmark_repetitions"); v && (v->empty() || std::atoi(v->c_str()) < 1))
    throw_invalid(fmt::format("--benchmark_repetitions must be a number of at least 1, got '{}'", *v));
  if (const auto v = value_of(flags, "--benchmark_out"); v && !std::ofstream(*v, std::ios::app))
    throw_invalid(fmt::format("--benchmark_out: cannot write '{}'", *v));
  (void)left_by_benchmark_filter({}, flags);
}

int run(const RunOptions& options, results::Store& store) {
  check_flags(options.flags);
  const std::vector<BenchCase> cases = filtered(options.cases, options.filter);
  const int64_t planned = left_by_benchmark_filter(cases, options.flags);
  if (planned == 0)
    throw_invalid(
        fmt::format("no benchmark matches; there are {}; names are operator/rung/row (--benchmark_list_tests)",
                    options.cases.size()));

  std::vector<std::string> words = {"greta bench", "--benchmark_counters_tabular=true"};
  words.insert(words.end(), options.flags.begin(), options.flags.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  int argc = static_cast<int>(argv.size());
  benchmark::Initialize(&argc, argv.data());
  if (argc > 1)
    throw_invalid(fmt::format("unknown or malformed flag '{}' (--benchmark_... are Google Benchmark's)", argv[1]));

  const bool only_list = truthy(value_of(options.flags, "--benchmark_list_tests"));
  Run running(options, store);
  benchmark::ClearRegisteredBenchmarks();
  for (const BenchCase& c : cases)
    benchmark::RegisterBenchmark(c.name().c_str(), [&running, &c](benchmark::State& state) { running.call(state, c); })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  Reporter reporter(benchmark::CreateDefaultDisplayReporter(), cases, running);
  if (!only_list) store.plan(planned);
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::ClearRegisteredBenchmarks();
  if (only_list) return 0;
  running.rethrow();
  return store.exit_code();
}

}  // namespace greta::bench
