// greta trace: what every stage of a path through a model held, point by point, as JSON Lines.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <sstream>
#include <utility>

#include "model/tokenizer.hpp"
#include "model/trace_file.hpp"
#include "results/sha256.hpp"
#include "results/store.hpp"
#include "runners/child_process.hpp"
#include "runners/command_line.hpp"
#include "runners/gates/readout.hpp"
#include "runners/gates/traced_side.hpp"
#include "runners/model_input.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

using results::Json;
using results::Verdict;

struct TraceFlags {
  std::string model, side = "prefill", out = "-", raw, positions, planting, planted_in = "both", lose;
  std::vector<std::string> stages;
  bool readout = false;
  std::string prompts;
  int64_t steps = 16, top_k = 50;
  IdsInput input;
  EngineFlags engine;
};

std::vector<int64_t> positions_from(const std::string& list) {
  if (list.empty()) return {};
  try {
    const std::vector<int> all = parse_layers(list);
    return {all.begin(), all.end()};
  } catch (const Error&) {
    throw_invalid(fmt::format("--positions '{}': wanted e.g. 0,3,5-7", list));
  }
}

Json start_line(const TraceFlags& f, const CommonFlags& flags, const TracedSide& side, std::span<const int32_t> ids,
                const model::GgufFile& file) {
  const results::Environment here = environment_here();
  const model::EngineOptions& o = side.options;
  Json line = {{"side", side.text},
               {"model", f.model},
               {"model_bytes", file.size_bytes()},
               {"tokens", ids},
               {"platform", here.platform},
               {"device", here.device},
               {"toolchain", here.toolchain},
               {"commit", here.commit},
               {"matrix_model", here.matrix_model},
               {"invocation", flags.invocation}};
  if (side.is_reference()) return line;
  line.update(Json{{"kv", dtype_name(o.kv)},
                   {"activations", dtype_name(o.activations)},
                   {"exp", o.exp == ExpMode::kPortable ? "portable" : "hw"},
                   {"matrix_machine", matrix_machine_text()},
                   {"rungs", o.rungs}});
  return line;
}

/// Everything that was checked of a trace, and how it came out.
struct Traced {
  results::Outcome outcome;
  Json measured = Json::object(), config = Json::object();
};

/// Bits, so that a NaN on both sides is no difference of the trace; it is a failure of its own.
std::optional<int64_t> first_row_of_other_bits(std::span<const float> a, std::span<const float> b, int64_t vocab) {
  const size_t n = std::min(a.size(), b.size());
  for (size_t i = 0; i < n; ++i)
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) return static_cast<int64_t>(i) / vocab;
  return a.size() == b.size() ? std::nullopt : std::optional(static_cast<int64_t>(n) / vocab);
}

Traced judge(const TracedRun& traced, const std::optional<SideRun>& plain, int64_t vocab,
             const std::vector<model::PointKey>& not_finite, const std::vector<model::PointKey>& dropped) {
  const auto lost = static_cast<int64_t>(dropped.size());
  const model::Trace& trace = traced.trace;
  const std::vector<model::PointKey> missing = trace.missing();
  Traced t;
  const auto produced = static_cast<int64_t>(trace.points().size()) - lost;
  t.measured = {{"points", produced}, {"points_expected", trace.expected()}, {"seconds_traced", traced.run.seconds}};
  t.config["traced"] = traced.run.config();
  std::optional<int64_t> unequal;
  if (plain) {
    unequal = first_row_of_other_bits(traced.run.logits, plain->logits, vocab);
    t.measured["seconds_untraced"] = plain->seconds;
    t.measured["cost"] = traced.run.seconds / std::max(plain->seconds, 1e-9);
    t.measured["logits_bits_equal"] = !unequal;
    t.config["untraced"] = plain->config();
  }
  t.measured["logits_sha256"] = results::sha256_of(std::span<const float>(traced.run.logits));
  t.measured["points_with_nan_or_inf"] = not_finite.size();
  t.outcome = {Verdict::kPass, ""};
  const auto named = [&](std::string place) { t.measured["named"] = std::move(place); };
  if (unequal)
    named(fmt::format("logits, row {}", *unequal)),
        t.outcome = {Verdict::kFail, fmt::format("tracing changed logits: row {} of those computed has other bits than "
                                                 "without a trace",
                                                 *unequal)};
  else if (!not_finite.empty())
    named(not_finite.front().text()),
        t.outcome = {Verdict::kFail, fmt::format("NaN or infinity in {} points, the first at {}", not_finite.size(),
                                                 not_finite.front().text())};
  else if (!missing.empty() || lost > 0 || trace.repeated() > 0)
    named(!missing.empty() ? missing.front().text()
          : lost           ? dropped.front().text()
                           : std::string("a point twice")),
        t.outcome = {Verdict::kIncomplete,
                     fmt::format("{} of {} points that were asked for were not produced{}, {} were produced twice",
                                 static_cast<int64_t>(missing.size()) + lost, trace.expected(),
                                 missing.empty() ? "" : ", the first at " + missing.front().text(), trace.repeated())};
  else if (trace.expected() == 0)
    t.outcome = {Verdict::kIncomplete, "no point was asked for"};
  return t;
}

Json readout_line(const ReadoutStep& s, const model::Tokenizer& tokenizer) {
  Json top = Json::array();
  for (const auto& [id, logit] : s.top)
    top.push_back({{"id", id}, {"text", tokenizer.token_text(id)}, {"logit", logit}});
  return {{"prompt", s.prompt},
          {"step", s.step},
          {"path", s.path},
          {"position", s.position},
          {"hidden",
           {{"buffer", s.buffer},
            {"byte_offset", s.offset},
            {"row", s.row},
            {"sha256", s.sha256},
            {"of_position", s.token_position},
            {"is_last_token", s.last_token},
            {"launch", s.launch}}},
          {"top", top},
          {"gap", s.gap},
          {"entropy", s.entropy}};
}

/// p0, p1, ...: one prompt a line.
std::vector<std::pair<std::string, std::vector<int32_t>>> read_prompts(const std::string& path,
                                                                       const model::Tokenizer& tokenizer) {
  std::vector<std::pair<std::string, std::vector<int32_t>>> prompts;
  std::istringstream lines(read_text_file(path));
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) prompts.emplace_back(fmt::format("p{}", prompts.size()), tokenizer.encode(line));
  if (prompts.empty()) throw_invalid(fmt::format("--prompts {}: no line with a prompt", path));
  return prompts;
}

int run_readout_verb(const TraceFlags& f, const CommonFlags& flags) {
  const model::GgufFile file = model::GgufFile::open(f.model);
  ModelAtHand at_hand(file);
  const model::Tokenizer tokenizer(file);
  if (!f.raw.empty() || !f.stages.empty() || !f.positions.empty() || !f.lose.empty() || !flags.layers.empty())
    throw_invalid("--readout: --raw, --stages, --positions, --lose and --layers are of traces; leave them out");
  ReadoutRequest request;
  request.model = &at_hand, request.steps = f.steps, request.top_k = f.top_k;
  if (f.prompts.empty())
    request.prompts.emplace_back("p0", f.input.read(file, at_hand.config.vocab_size));
  else
    request.prompts = read_prompts(f.prompts, tokenizer);
  request.options = f.engine.options(flags);
  if (!f.planting.empty()) request.options.planting = model::planting_from_text(f.planting);

  results::Store store(flags.json, environment_here(), flags.invocation);
  store.plan(1);
  std::vector<std::string> command = {"./greta"};
  command.insert(command.end(), flags.invocation.begin(), flags.invocation.end());
  results::Record record;
  record.kind = "readout", record.kernel = "model", record.repeat = shell_line(command);
  record.case_name = "readout",
  record.problem = fmt::format("model={} prompts={} steps={}", f.model, request.prompts.size(), f.steps);
  const auto id = store.begin(record);
  const ReadoutResult result = run_readout(request);
  for (const ReadoutStep& s : result.steps) {
    const Json line = readout_line(s, tokenizer);
    record.measured["steps"].push_back(line);
    const auto best = [&](size_t i) {
      return i < s.top.size() ? fmt::format("{} {:.4f} {}", s.top[i].first, s.top[i].second,
                                            results::to_line(Json(tokenizer.token_text(s.top[i].first))))
                              : std::string("none");
    };
    fmt::print(
        "{} step {:>2} {:<7} read row {} of {} at byte {} ({}, {:.12}) top-1 {}  top-2 {}  gap {:.4f}  entropy "
        "{:.4f}\n",
        s.prompt, s.step, s.path, s.row, s.buffer, s.offset,
        s.last_token ? "last token's" : fmt::format("position {}'s", s.token_position), s.sha256, best(0), best(1),
        s.gap, s.entropy);
  }
  if (!result.named.empty()) record.measured["named"] = result.named;
  record.measured["prompts_collapsed"] = result.prompts_collapsed;
  record.measured["collapsed_over_prompts"] = result.collapsed_over_prompts;
  record.outcome = result.outcome;
  fmt::print("readout: {} prompts, {} steps; {} collapsed\n{}{}{}\n", request.prompts.size(), f.steps,
             result.prompts_collapsed, results::verdict_name(result.outcome.verdict),
             result.outcome.reason.empty() ? "" : ": ", result.outcome.reason);
  if (result.outcome.verdict != Verdict::kPass) fmt::print("  repeat: {}\n", record.repeat);
  store.end(id, record);
  return store.exit_code();
}

int run_trace(const TraceFlags& f, const CommonFlags& flags) {
  if (f.readout) return run_readout_verb(f, flags);
  const model::GgufFile file = model::GgufFile::open(f.model);
  ModelAtHand at_hand(file);
  const std::vector<int32_t> ids = f.input.read(file, at_hand.config.vocab_size);
  const auto n = static_cast<int64_t>(ids.size());
  TracedSide side = traced_side_from_text("--side", f.side, f.engine.options(flags));
  if (!side.trace_file.empty())
    throw_invalid("--side trace:FILE: there is nothing to run; greta bisect compares traces");

  model::TraceWant want;
  want.stages = f.stages, want.layers.assign(flags.layers.begin(), flags.layers.end());
  want.positions = positions_from(f.positions);
  want.raw_for_callback = !f.raw.empty();
  const int64_t logits_from = want.positions.empty() ? 0 : std::min(want.positions.front(), n - 1);
  {
    const model::Trace checked(want, at_hand.config, n, logits_from);
  }  // names what does not exist before anything runs

  results::Store store(flags.json, environment_here(), flags.invocation);
  store.plan(1);
  results::Record record;
  std::vector<std::string> command = {"./greta"};
  command.insert(command.end(), flags.invocation.begin(), flags.invocation.end());
  record.kind = "trace", record.kernel = "model", record.seed = flags.seed, record.repeat = shell_line(command);
  record.case_name = "trace " + f.side;
  record.problem = fmt::format("model={} tokens={}", f.model, n);
  const auto id = store.begin(record);

  const auto planting = f.planting.empty() ? std::optional<model::Planting>() : model::planting_from_text(f.planting);
  if (planting && side.is_reference()) throw_invalid("--plant: the reference takes no plantings");
  std::optional<SideRun> plain;
  if (side.is_engine()) {
    if (f.planted_in == "both") side.options.planting = planting;
    plain = run_side(at_hand.weights_for(side.options.defect), side.options,
                     {side.spec, ids, logits_from, false, flags.seed, {}});
    side.options.planting = planting;
  }
  model::TraceWriter writer(f.out, f.raw, start_line(f, flags, side, ids, file));
  std::vector<model::PointKey> not_finite;
  std::vector<model::PointKey> lost;
  const int lose = f.lose.empty() ? -1 : model::stage_index(f.lose);
  want.on_point = [&](const model::PointKey& key, const model::TracePoint& point) {
    if (key.stage == lose) {
      lost.push_back(key);
      return;
    }
    if (point.statistics.nan + point.statistics.inf > 0) not_finite.push_back(key);
    writer.point(key, point);
  };
  const TracedRun traced = run_traced(at_hand, side, ids, want, logits_from, flags.seed);
  const Traced result = judge(traced, plain, at_hand.config.vocab_size, not_finite, lost);

  Json last = result.measured;
  if (!f.raw.empty()) last["raw_bytes"] = writer.raw_bytes();
  last["attention_arithmetic"] = traced.run.attention_arithmetic;
  last["verdict"] = results::verdict_name(result.outcome.verdict), last["reason"] = result.outcome.reason;
  writer.end(last);
  record.measured = result.measured, record.config = result.config, record.outcome = result.outcome;
  record.arithmetic = traced.run.attention_arithmetic;
  const auto report = [&](std::FILE* to) {
    fmt::print(to, "trace {}: {} tokens, {} of {} points, {:.2f} s", f.side, n,
               result.measured["points"].get<int64_t>(), traced.trace.expected(), traced.run.seconds);
    if (plain)
      fmt::print(to, " ({:.2f} s untraced, {:.1f} times); logits {}", plain->seconds,
                 result.measured["cost"].get<double>(),
                 result.measured["logits_bits_equal"].get<bool>() ? "have the same bits" : "DIFFER");
    fmt::print(to, "\n{}{}{}\n", results::verdict_name(result.outcome.verdict),
               result.outcome.reason.empty() ? "" : ": ", result.outcome.reason);
  };
  report(f.out == "-" ? stderr : stdout);
  store.end(id, record);
  return store.exit_code();
}

}  // namespace

void register_trace(Command app, CommonFlags& flags) {
  const Command verb = app.subcommand("trace", "what every stage of a path through a model held, as JSON Lines");
  auto f = std::make_shared<TraceFlags>();
  verb.before_parsing([&flags] { flags.layers_are_used = true; });
  verb.option("--model", f->model, "GGUF file").required();
  f->input.add(verb, false);
  f->engine.add(verb);
  verb.option("--side", f->side, "prefill | decode | chunk:N | batch:N | reference; knobs of its own after commas")
      .show_default();
  verb.option("--out", f->out, "file of the trace; - is standard output").show_default();
  verb.option("--raw", f->raw, "folder for raw tensors, one zstd file a point");
  verb.option("--stages", f->stages, "stages to trace, e.g. attn_in,mlp_out (default: all)").delimiter(',');
  verb.option("--positions", f->positions, "positions to trace, e.g. 0,3,5-7 (default: all)");
  verb.option("--plant", f->planting, "plant a mistake: STAGE:LAYER:POSITION[:KIND[:AMOUNT]]");
  verb.option("--planted-in", f->planted_in, "traced: not in the untraced run beside it (to see that it shows)")
      .one_of({"both", "traced"})
      .show_default();
  verb.option("--lose", f->lose, "plant a mistake in the tracer: points of this stage are lost");
  verb.flag("--readout", f->readout, "instead: what the output matrix read at each step, and the best logits");
  verb.option("--prompts", f->prompts, "readout: file of prompts, one a line (p0, p1, ...)");
  verb.option("--steps", f->steps, "readout: steps of each prompt").range(1, 4096).show_default();
  verb.option("--top-k", f->top_k, "readout: entropy is taken over so many").range(2, 1 << 20).show_default();
  std::string stages;
  for (const model::StageInfo& s : model::stage_table()) stages += (stages.empty() ? "" : " ") + std::string(s.name);
  verb.footer("Stages: " + stages +
              "\nPASS: every point asked for is there and finite, and the logits have the bits of an untraced run. "
              "A missing point is\nINCOMPLETE (exit 5); softmax_stats is recomputed in double from q_post_rope and the "
              "cache, and says so.");
  verb.callback([f, &flags] { flags.exit_code = run_trace(*f, flags); });
}

}  // namespace greta::runners
