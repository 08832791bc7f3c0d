#include "runners/audits/decode_time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "model/llama.hpp"
#include "runners/audits/audits.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;

class Watch {
 public:
  /// Seconds since the last lap.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double s = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return s;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

struct Flags {
  AuditModelFlags model;
  int64_t steps = 16;
  std::string plant;
};

/// Launches of the embedding so far, and the rows of its widest one.
std::pair<int64_t, int64_t> embeddings(const hip::LaunchLog& log) {
  int64_t count = 0, widest = 0;
  for (const auto& row : log.rows())
    if (row.kernel.starts_with("embedding"))
      count += static_cast<int64_t>(row.count), widest = std::max(widest, row.rows);
  return {count, widest};
}

void measure(const AuditSubject& subject, const Flags& f, results::Record& record) {
  DecodeTimes times;
  DecodeCounts counts;
  counts.prompt_given = static_cast<int64_t>(subject.ids.size()), counts.steps_wanted = f.steps;
  std::span<const int32_t> prompt = subject.ids;
  if (f.plant == "short-prompt") prompt = prompt.first(1);
  const int64_t steps = f.plant == "lost-step" ? f.steps - 1 : f.steps;

  Watch wall, part;
  {
    hip::Stream stream("upload");
    const auto weights = model::load_weights(subject.file, stream);
    times.load = part.lap();
    model::EngineOptions options = subject.options;
    options.context = counts.prompt_given + f.steps;
    model::Llama engine(weights, options);
    times.engine = part.lap();
    hip::LaunchLog log;
    int32_t next = engine.prefill_argmax(0, prompt);
    times.prefill = part.lap();
    counts.prompt_cached = engine.cache().length(0);
    const auto [before, widest] = embeddings(log);
    counts.prompt_launched = widest;
    for (int64_t i = 0; i < steps; ++i) {
      part.lap();
      next = engine.decode_argmax(std::vector<int32_t>{next}).front();
      times.steps += part.lap();
      std::vector<float> logits = engine.last_logits();
      if (f.plant == "stale-readback")
        std::fill(logits.begin(), logits.end(), 0.0f), logits.front() = next == 0 ? -1 : 1;
      times.readback += part.lap();
      const auto greatest = std::max_element(logits.begin(), logits.end()) - logits.begin();
      counts.wrong_choices += greatest != next;
    }
    counts.steps_cached = engine.cache().length(0) - counts.prompt_cached;
    counts.steps_launched = embeddings(log).first - before;
  }
  times.wall = wall.lap();
  if (f.plant == "slow-clock") times.wall /= 2;

  const double rate = times.steps > 0 ? static_cast<double>(f.steps) / times.steps : 0;
  record.measured = {{"wall_s", times.wall},
                     {"load_s", times.load},
                     {"engine_s", times.engine},
                     {"prefill_s", times.prefill},
                     {"steps_s", times.steps},
                     {"readback_s", times.readback},
                     {"overhead_s", times.overhead()},
                     {"steps", counts.steps_cached},
                     {"prompt_tokens", counts.prompt_cached},
                     {"tokens_per_s", rate}};
  for (const auto& [name, seconds] :
       {std::pair{"load", times.load}, std::pair{"engine", times.engine}, std::pair{"prefill", times.prefill},
        std::pair{"steps", times.steps}, std::pair{"readback", times.readback}, std::pair{"overhead", times.overhead()},
        std::pair{"wall", times.wall}})
    fmt::print("  {:<10} {:>9.4f} s {:>6.1f} %\n", name, seconds, 100 * seconds / times.wall);
  fmt::print("  prompt {} tokens at {:.1f} tokens/s, {} steps at {:.1f} tokens/s\n", counts.prompt_cached,
             static_cast<double>(counts.prompt_cached) / std::max(times.prefill, 1e-9), counts.steps_cached, rate);
  take(record, judge_decode(times, counts));
}

}  // namespace

Judgement judge_decode(const DecodeTimes& t, const DecodeCounts& c) {
  if (c.prompt_cached != c.prompt_given || c.prompt_launched != c.prompt_given)
    return {{Verdict::kFail, fmt::format("a prompt of {} tokens was given; the cache holds {}, the widest launch had "
                                         "{} rows",
                                         c.prompt_given, c.prompt_cached, c.prompt_launched)},
            "prompt"};
  if (c.steps_cached != c.steps_wanted || c.steps_launched != c.steps_wanted)
    return {{Verdict::kFail, fmt::format("{} steps were asked for; the cache grew by {}, {} were launched",
                                         c.steps_wanted, c.steps_cached, c.steps_launched)},
            "steps"};
  if (c.wrong_choices)
    return {
        {Verdict::kFail, fmt::format("in {} of {} steps the logits that were read back have their greatest elsewhere "
                                     "than the chosen token",
                                     c.wrong_choices, c.steps_wanted)},
        "readback"};
  for (const double part : {t.load, t.engine, t.prefill, t.steps, t.readback, t.wall})
    if (!(part > 0))
      return {{Verdict::kContradiction, fmt::format("a part took {} s: the clock stood still", part)}, "clock"};
  if (!(t.overhead() >= 0))
    return {{Verdict::kContradiction,
             fmt::format("the parts take {:.4g} s, the whole {:.4g} s", t.wall - t.overhead(), t.wall)},
            "clock"};
  return {{Verdict::kPass, ""}, ""};
}

void register_audit_decode(Command audit, CommonFlags& flags) {
  const Command verb =
      audit.subcommand("decode", "where the time of a generation goes, with the prompt's length checked");
  auto f = std::make_shared<Flags>();
  f->model.add(verb);
  verb.option("--steps", f->steps, "tokens to generate").range(1, 4096).show_default();
  verb.option("--plant", f->plant, "short-prompt, lost-step, stale-readback or slow-clock: must turn the audit red")
      .one_of({"short-prompt", "lost-step", "stale-readback", "slow-clock"});
  verb.callback([f, &flags] {
    const AuditSubject subject = audit_subject(f->model, flags);
    const auto room = subject.config.context_length - static_cast<int64_t>(subject.ids.size());
    if (f->steps > room)
      throw_invalid(fmt::format("--steps {}: the model's context has room for {} after this prompt", f->steps, room));
    AuditRecords records(flags, "decode",
                         fmt::format("model={} tokens={} steps={}", f->model.model, subject.ids.size(), f->steps), 1);
    records.run("decode", [&](results::Record& record) { measure(subject, *f, record); });
    flags.exit_code = records.exit_code();
  });
}

}  // namespace greta::runners
