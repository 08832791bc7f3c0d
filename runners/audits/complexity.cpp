#include "runners/audits/complexity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <memory>

#include "bench/roofline.hpp"
#include "model/llama.hpp"
#include "runners/audits/audits.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;

/// 97.5 % quantile of Student's t, degrees of freedom 1, 2, ...
double student(int64_t df) {
  static constexpr std::array<double, 10> kTable = {12.706, 4.303, 3.182, 2.776, 2.571,
                                                    2.447,  2.365, 2.306, 2.262, 2.228};
  return kTable[static_cast<size_t>(std::clamp<int64_t>(df, 1, 10)) - 1];
}

struct Flags {
  AuditModelFlags model;
  std::vector<int64_t> lengths = {32, 64, 128, 256, 512};
  int64_t repeats = 3;
  std::string times = "measured";
};

/// Times that nobody measured, for tries of the judgement: of a pass that does its work at 1e11 FLOP/s on a device
/// whose best is 1e12, and of four that do not.
constexpr const char* kTimes[] = {"measured", "work", "square", "last-step", "noise", "light"};
constexpr double kMadeRate = 1e11, kMadePeak = 1e12;

double made_time(const std::string& times, size_t i, size_t n, double length, double flops) {
  const double work = flops / kMadeRate;
  if (times == "square") return work * length;
  if (times == "last-step") return i + 1 == n ? 20 * work : work;
  if (times == "noise") return i % 2 ? 8 * work : work;
  return times == "light" ? flops / (100 * kMadePeak) : work;
}

int run_complexity(const Flags& f, const CommonFlags& flags) {
  const AuditSubject subject = audit_subject(f.model, flags);
  const int64_t longest = *std::max_element(f.lengths.begin(), f.lengths.end());
  if (longest > static_cast<int64_t>(subject.ids.size()))
    throw_invalid(fmt::format("--lengths: {} tokens wanted, the input has {}", longest, subject.ids.size()));
  hip::Stream stream("upload");
  const auto weights = model::load_weights(subject.file, stream);
  model::EngineOptions options = subject.options;
  options.context = longest;
  AuditRecords records(flags, "complexity",
                       fmt::format("model={} lengths={}", f.model.model, fmt::join(f.lengths, ",")), 1);
  records.run("prefill", [&](results::Record& record) {
    const bool made = f.times != "measured";
    std::vector<std::vector<double>> times(f.lengths.size());
    model::Llama engine(weights, options);
    for (int64_t round = 0; round <= f.repeats && !made; ++round)  // round 0 warms up; lengths take turns
      for (size_t i = 0; i < f.lengths.size(); ++i) {
        engine.cache().truncate(0, 0);
        engine.stream().synchronize();
        const auto start = std::chrono::steady_clock::now();
        (void)engine.prefill_argmax(0, std::span(subject.ids).first(static_cast<size_t>(f.lengths[i])));
        const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (engine.cache().length(0) != f.lengths[i])
          throw Error(ErrorKind::kDeviceFault, fmt::format("complexity: {} tokens were fed, the cache holds {}",
                                                           f.lengths[i], engine.cache().length(0)));
        if (round) times[i].push_back(s);
      }
    std::vector<double> lengths, seconds, flops;
    for (size_t i = 0; i < times.size(); ++i) {
      lengths.push_back(static_cast<double>(f.lengths[i]));
      flops.push_back(prefill_flops(subject.config, f.lengths[i]));
      if (made) {
        seconds.push_back(made_time(f.times, i, times.size(), lengths.back(), flops.back()));
        continue;
      }
      std::nth_element(times[i].begin(), times[i].begin() + static_cast<ptrdiff_t>(times[i].size() / 2),
                       times[i].end());
      seconds.push_back(times[i][times[i].size() / 2]);
    }
    ComplexityBounds bounds;
    bounds.expected = fit_power(lengths, flops).exponent;
    if (hip::platform_name() != "host") bounds.peak_flops = 1e12 * bench::Ceilings().compute(Compute::kI8Matrix);
    if (made) bounds.peak_flops = kMadePeak;
    const PowerFit fit = fit_power(lengths, seconds);
    record.measured = {{"exponent", fit.exponent},
                       {"low", fit.low},
                       {"high", fit.high},
                       {"r2", fit.r2},
                       {"exponent_of_work", bounds.expected},
                       {"lengths", lengths},
                       {"median_seconds", seconds},
                       {"times", f.times}};
    fmt::print("  exponent {:.3f}, 95 % interval {:.3f} to {:.3f} (the work's: {:.3f}), r2 {:.4f}\n", fit.exponent,
               fit.low, fit.high, bounds.expected, fit.r2);
    for (size_t i = 0; i < lengths.size(); ++i)
      fmt::print("  {:>6} tokens {:>10.4f} s {:>10.1f} tokens/s\n", lengths[i], seconds[i], lengths[i] / seconds[i]);
    take(record, judge_complexity(fit, lengths, seconds, flops, bounds));
  });
  return records.exit_code();
}

}  // namespace

PowerFit fit_power(std::span<const double> lengths, std::span<const double> seconds) {
  const size_t n = lengths.size();
  if (n < 3 || seconds.size() != n)
    throw_invalid(fmt::format("power law: {} lengths and {} times, wanted three or more of each", n, seconds.size()));
  double mx = 0, my = 0;
  for (size_t i = 0; i < n; ++i) {
    if (!(lengths[i] > 0) || !(seconds[i] > 0) || !std::isfinite(lengths[i]) || !std::isfinite(seconds[i]))
      throw_invalid(fmt::format("power law: length {} took {}, wanted positive numbers", lengths[i], seconds[i]));
    mx += std::log(lengths[i]), my += std::log(seconds[i]);
  }
  const auto count = static_cast<double>(n);
  mx /= count, my /= count;
  double xx = 0, xy = 0, yy = 0;
  for (size_t i = 0; i < n; ++i) {
    const double x = std::log(lengths[i]) - mx, y = std::log(seconds[i]) - my;
    xx += x * x, xy += x * y, yy += y * y;
  }
  if (!(xx > 0)) throw_invalid("power law: all lengths are equal");
  PowerFit fit;
  fit.points = static_cast<int64_t>(n);
  fit.exponent = xy / xx;
  const double residual = std::max(0.0, yy - fit.exponent * xy);
  const double error = std::sqrt(residual / (count - 2) / xx) * student(fit.points - 2);
  fit.low = fit.exponent - error, fit.high = fit.exponent + error;
  fit.r2 = yy > 0 ? 1 - residual / yy : 1;
  return fit;
}

double prefill_flops(const model::LlamaConfig& c, int64_t n) {
  const double layer =
      static_cast<double>(c.dim * (c.q_dim() + 2 * c.kv_dim()) + c.q_dim() * c.dim + 3 * c.dim * c.ffn_dim);
  const auto tokens = static_cast<double>(n);
  const double pairs = tokens * (tokens + 1) / 2;
  return 2 * (tokens * layer * static_cast<double>(c.n_layers) + static_cast<double>(c.dim * c.vocab_size) +
              pairs * 2 * static_cast<double>(c.q_dim() * c.n_layers));
}

Judgement judge_complexity(const PowerFit& fit, std::span<const double> lengths, std::span<const double> seconds,
                           std::span<const double> flops, const ComplexityBounds& b) {
  if (b.peak_flops > 0)
    for (size_t i = 0; i < lengths.size(); ++i)
      if (!(seconds[i] * b.peak_flops * bench::kRooflineSlack >= flops[i]))
        return {
            {Verdict::kContradiction,
             fmt::format("{} tokens in {:.3g} s are {:.3g} FLOP/s, the device does {:.3g}: the work was not done, or "
                         "not timed",
                         lengths[i], seconds[i], flops[i] / seconds[i], b.peak_flops)},
            "clock"};
  if (fit.points < 4)
    return {{Verdict::kMistrusted, fmt::format("{} lengths, wanted four or more", fit.points)}, "lengths"};
  const size_t last = lengths.size() - 1;
  const double step = lengths[last] / lengths[last - 1], ratio = seconds[last] / seconds[last - 1];
  // Where the shorter lengths lie on a line, one step of its own is no noise.
  const PowerFit shorter = fit_power(lengths.first(last), seconds.first(last));
  if (shorter.high - shorter.low <= b.widest && ratio > 1.5 * step * step)
    return {
        {Verdict::kFail, fmt::format("from {} to {} tokens the time grew {:.2f} times, more than 1.5 times the square "
                                     "of the length",
                                     lengths[last - 1], lengths[last], ratio)},
        "last step"};
  if (!(fit.high - fit.low <= b.widest))
    return {
        {Verdict::kMistrusted, fmt::format("the exponent is {:.2f}, with 95 % between {:.2f} and {:.2f}: too wide to "
                                           "tell linear from quadratic",
                                           fit.exponent, fit.low, fit.high)},
        "spread"};
  if (!(fit.low <= b.expected + b.slack))
    return {{Verdict::kFail, fmt::format("time grows as length^{:.2f} (at least {:.2f}), the work as length^{:.2f}",
                                         fit.exponent, fit.low, b.expected)},
            "exponent"};
  return {{Verdict::kPass, ""}, ""};
}

void register_audit_complexity(Command audit, CommonFlags& flags) {
  const Command verb = audit.subcommand("complexity", "how the time of a prefill pass grows with its length");
  auto f = std::make_shared<Flags>();
  f->model.add(verb);
  verb.option("--lengths", f->lengths, "prompt lengths").delimiter(',').positive();
  verb.option("--repeats", f->repeats, "passes of each length; the median counts").range(1, 100).show_default();
  verb.option("--times", f->times,
              "judge made-up times, of a pass that does its work (green), or whose time grows with the square,\n"
              "jumps at the last step, is noise, or is faster than the device")
      .one_of(kTimes)
      .show_default();
  verb.callback([f, &flags] { flags.exit_code = run_complexity(*f, flags); });
}

}  // namespace greta::runners
