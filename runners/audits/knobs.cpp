#include "runners/audits/knobs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "kernels/prefill_attention/prefill_attention.hpp"
#include "runners/gates/logits_diff.hpp"

namespace greta::runners {
namespace {

using results::Json;
using results::Outcome;
using results::Verdict;
using Kind = SideSpec::Kind;

std::shared_ptr<const model::Weights> load(const KnobRequest& r) {
  hip::Stream stream("upload");
  return model::load_weights(*r.file, stream, r.options.defect);
}

std::vector<std::string> symbols_of(const std::vector<hip::LaunchLog::Row>& launches, std::string_view prefix = "") {
  std::vector<std::string> out;
  for (const auto& row : launches)
    if (row.kernel.starts_with(prefix) && std::find(out.begin(), out.end(), row.kernel) == out.end())
      out.push_back(row.kernel);
  std::sort(out.begin(), out.end());
  return out;
}

/// An engine's run of a prompt and one step, with what it allocated and launched.
struct Echo {
  std::vector<std::string> symbols, buffers;
  std::vector<float> logits;
};

Echo echo_of(const std::shared_ptr<const model::Weights>& weights, const KnobRequest& r,
             const model::EngineOptions& options) {
  Echo echo;
  std::set<hip::AllocationId> before;
  for (const auto& a : hip::live_allocations()) before.insert(a.id);
  model::EngineOptions own = options;
  own.context = static_cast<int64_t>(r.ids.size());
  model::Llama engine(weights, own);
  hip::LaunchLog log;
  const auto prompt = static_cast<int64_t>(r.ids.size()) - 1;
  echo.logits = engine.prefill(0, r.ids.first(static_cast<size_t>(prompt)), 0);
  const std::vector<float> step = engine.decode(std::vector<int32_t>{r.ids.back()});
  echo.logits.insert(echo.logits.end(), step.begin(), step.end());
  echo.symbols = symbols_of(log.rows());
  std::set<std::string> buffers;
  for (const auto& a : hip::live_allocations())
    if (!before.contains(a.id)) buffers.insert(fmt::format("{} {}", a.name, dtype_name(a.dtype)));
  echo.buffers.assign(buffers.begin(), buffers.end());
  return echo;
}

void need_tokens(const KnobRequest& r, const char* audit) {
  if (r.ids.size() < 4) throw_invalid(fmt::format("audit {}: {} tokens, wanted at least 4", audit, r.ids.size()));
}

}  // namespace

Outcome KnobEffect::outcome(const std::string& knob) const {
  const bool anything = launches_differ || buffers_differ;
  if (!anything && !logits_differ)
    return {Verdict::kVacuous,
            fmt::format("{} changed nothing: the same symbols were launched on the same buffers, and "
                        "the logits have the same bits",
                        knob)};
  if (!anything)
    return {
        Verdict::kContradiction,
        fmt::format("{}: the logits differ, but the same symbols were launched on buffers of the same types", knob)};
  if (logits_must_differ && !logits_differ)
    return {Verdict::kContradiction,
            fmt::format("{}: other symbols or buffers ({}{}{}), and not one bit of the logits "
                        "differs",
                        knob, launches_differ ? "symbols" : "", launches_differ && buffers_differ ? ", " : "",
                        buffers_differ ? "buffers" : "")};
  if (!logits_must_differ && logits_differ)
    return {Verdict::kFail, fmt::format("{}: the logits must not depend on it, and their bits do", knob)};
  return {Verdict::kPass, ""};
}

void audit_dtype(const KnobRequest& r, const CaseSink& cases) {
  need_tokens(r, "dtype");
  const auto weights = load(r);
  Echo echoes[2];
  const DType types[] = {DType::kF16, DType::kBF16};
  for (size_t i = 0; i < 2; ++i)
    cases(fmt::format("kv {}", dtype_name(types[i])), [&](results::Record& record) {
      model::EngineOptions options = r.options;
      options.kv = types[i];
      echoes[i] = echo_of(weights, r, options);
      record.config["symbols"] = echoes[i].symbols, record.config["buffers"] = echoes[i].buffers;
      const std::string wanted = fmt::format("<{},", dtype_name(types[i]));
      int64_t attention = 0, typed = 0, cache = 0;
      for (const std::string& s : echoes[i].symbols)
        if (s.find("attention") != std::string::npos) ++attention, typed += s.find(wanted) != std::string::npos;
      for (const std::string& b : echoes[i].buffers)
        cache += b.starts_with("kv_cache") && b.ends_with(fmt::format(" {}", dtype_name(types[i])));
      record.measured["attention_symbols"] = attention, record.measured["attention_symbols_of_type"] = typed;
      record.measured["cache_buffers_of_type"] = cache;
      if (logits_are_trivial(echoes[i].logits, weights->config.vocab_size))
        record.outcome = {Verdict::kMistrusted, "every row of logits is constant"};
      else if (attention == 0 || typed != attention || cache == 0)
        record.outcome = {
            Verdict::kVacuous,
            fmt::format("{} was asked for; {} of {} attention symbols and {} cache buffers have that "
                        "type: {}",
                        dtype_name(types[i]), typed, attention, cache, fmt::join(echoes[i].symbols, ", "))};
      else
        record.outcome = {Verdict::kPass, ""};
    });
  cases("fp16 against bf16", [&](results::Record& record) {
    KnobEffect effect;
    effect.launches_differ = echoes[0].symbols != echoes[1].symbols;
    effect.buffers_differ = echoes[0].buffers != echoes[1].buffers;
    effect.logits_differ = !same_bits(echoes[0].logits, echoes[1].logits);
    const LogitsDiff diff = compare_logits(echoes[0].logits, echoes[1].logits, weights->config.vocab_size, 0);
    record.measured["max_abs_diff"] = diff.max_abs_diff(), record.measured["relative"] = diff.max_relative();
    record.measured["launches_differ"] = effect.launches_differ;
    record.measured["buffers_differ"] = effect.buffers_differ;
    record.outcome = effect.outcome("--kv");
  });
}

void audit_batch(const KnobRequest& r, const CaseSink& cases) {
  need_tokens(r, "batch");
  const auto weights = load(r);
  std::vector<float> alone;
  std::set<std::vector<std::string>> seen;
  double first_rate = 0;
  const auto n = static_cast<int64_t>(r.ids.size());
  for (const int64_t batch : kBatchSizes)
    cases(fmt::format("batch {}", batch), [&](results::Record& record) {
      const SideSpec side = batch == 1 ? SideSpec{Kind::kDecode, 0} : SideSpec{Kind::kBatch, batch};
      const SideRun run = run_side(weights, r.options, {side, r.ids, 0, false, r.seed});
      if (batch == 1) alone = run.logits;
      // Decode launches with their M: what a batch must change.
      std::vector<std::string> launches;
      int64_t widest = 0;
      for (const auto& row : run.launches) {
        launches.push_back(
            fmt::format("{} ({},{},{}) M={}", row.kernel, row.grid[0], row.grid[1], row.grid[2], row.rows));
        if (row.kernel.starts_with("decode_attention")) widest = std::max(widest, row.rows);
      }
      const double rate = static_cast<double>(batch * n) / std::max(run.seconds, 1e-9);
      if (batch == 1) first_rate = rate;
      record.measured["tokens_per_s"] = rate, record.measured["speed_up"] = rate / first_rate;
      record.measured["decode_rows"] = widest, record.measured["place"] = run.place;
      record.config["launches"] = launches;
      std::sort(launches.begin(), launches.end());
      const bool fresh = seen.insert(launches).second;
      if (logits_are_trivial(run.logits, weights->config.vocab_size))
        record.outcome = {Verdict::kMistrusted, "every row of logits is constant"};
      else if (!same_bits(run.logits, alone))
        record.outcome = {
            Verdict::kFail,
            fmt::format("the sequence's logits have other bits at place {} of {} than alone, first at "
                        "position {}",
                        run.place, batch,
                        compare_logits(run.logits, alone, weights->config.vocab_size, 0).first_unequal().value_or(0))};
      else if (!fresh || widest != batch)
        record.outcome = {Verdict::kVacuous,
                          fmt::format("a batch of {} was asked for, and decode attention ran {} rows{}", batch, widest,
                                      fresh ? "" : ": the launches of a smaller batch")};
      // On the host a row costs what it costs; on a GPU eight rows read the weights once.
      else if (hip::platform_name() != "host" && batch == 8 && !(rate > 1.05 * first_rate))
        record.outcome = {Verdict::kVacuous,
                          fmt::format("8 sequences make {:.1f} tokens/s, one makes {:.1f}", rate, first_rate)};
      else
        record.outcome = {Verdict::kPass, ""};
    });
}

void audit_kv_aligned(const KnobRequest& r, const CaseSink& cases) {
  need_tokens(r, "kv-aligned");
  const auto weights = load(r);
  const auto run = [&](bool aligned, std::span<const int32_t> donor) {
    SideRequest request{{Kind::kDecode, 0}, r.ids, 0, aligned, r.seed};
    request.aligned_ids = donor;
    return run_side(weights, r.options, request);
  };
  const auto write = [](results::Record& record, const SideRun& side) {
    const auto& rows = side.kv_rows_read;
    record.measured["rows_read_own"] = rows[0] + rows[1] + rows[2], record.measured["rows_read_aligned"] = rows[3];
  };
  std::vector<float> own;
  cases("0: own rows", [&](results::Record& record) {
    const SideRun side = run(false, {});
    own = side.logits;
    write(record, side);
    if (logits_are_trivial(own, weights->config.vocab_size))
      record.outcome = {Verdict::kMistrusted, "every row of logits is constant"};
    else if (side.kv_rows_read[3] != 0)
      record.outcome = {Verdict::kVacuous, fmt::format("{} of the rows read are aligned ones", side.kv_rows_read[3])};
    else
      record.outcome = {Verdict::kPass, ""};
  });
  cases("1: rows of a prefill pass", [&](results::Record& record) {
    const SideRun side = run(true, {});
    write(record, side);
    const auto& rows = side.kv_rows_read;
    if (rows[0] + rows[1] + rows[2] > 0 || rows[3] == 0)
      record.outcome = {Verdict::kVacuous,
                        fmt::format("{} of the {} rows read are the sequence's own, not prefill's",
                                    rows[0] + rows[1] + rows[2], rows[0] + rows[1] + rows[2] + rows[3])};
    else if (!same_bits(side.logits, own))
      record.outcome = {
          Verdict::kFail,
          fmt::format("rows that prefill wrote give other bits than decode's own, first at "
                      "position {}",
                      compare_logits(side.logits, own, weights->config.vocab_size, 0).first_unequal().value_or(0))};
    else
      record.outcome = {Verdict::kPass, ""};
  });
  // Equal bits prove nothing of where the rows came from: rows of another text must show.
  cases("control: rows of another text", [&](results::Record& record) {
    std::vector<int32_t> other(r.ids.begin(), r.ids.end());
    for (int32_t& id : other) id = static_cast<int32_t>((id + 1) % weights->config.vocab_size);
    const SideRun side = run(true, other);
    write(record, side);
    const LogitsDiff diff = compare_logits(side.logits, own, weights->config.vocab_size, 0);
    record.measured["relative"] = diff.max_relative();
    record.outcome = diff.bits_equal() ? Outcome{Verdict::kVacuous,
                                                 "KV rows of another text were to be read, and no bit of the logits "
                                                 "changed: the rows are not what attention reads"}
                                       : Outcome{Verdict::kPass, ""};
  });
}

namespace {

struct AttentionCase {
  const char* op;
  std::string rung;
};

std::vector<AttentionCase> attention_rungs(const model::LlamaConfig& c, DType kv) {
  std::vector<AttentionCase> out;
  PrefillAttentionProblem p;
  p.n_heads = c.n_heads, p.n_kv_heads = c.n_kv_heads, p.head_dim = c.head_dim, p.dtype = kv;
  for (const auto& rung : prefill_attention_ladder())
    if (rung.accepts(p).empty()) out.push_back({"prefill_attention", rung.name});
  DecodeAttentionProblem d;
  d.n_heads = c.n_heads, d.n_kv_heads = c.n_kv_heads, d.head_dim = c.head_dim, d.dtype = kv;
  for (const auto& rung : decode_attention_ladder())
    if (rung.accepts(d).empty()) out.push_back({"decode_attention", rung.name});
  return out;
}

}  // namespace

int64_t attention_cases(const KnobRequest& r) {
  return static_cast<int64_t>(attention_rungs(model::read_config(*r.file), r.options.kv).size());
}

void audit_attention(const KnobRequest& r, const CaseSink& cases) {
  need_tokens(r, "attention");
  const auto weights = load(r);
  std::map<std::pair<std::string, std::vector<std::string>>, std::string> launched_by;
  for (const AttentionCase& c : attention_rungs(weights->config, r.options.kv))
    cases(fmt::format("{} {}", c.op, c.rung), [&](results::Record& record) {
      model::EngineOptions options = r.options;
      options.rungs[c.op] = c.rung;
      const Echo echo = echo_of(weights, r, options);
      std::vector<std::string> symbols, others;
      const std::string wanted = fmt::format("{}_{}", c.op, c.rung);
      for (const std::string& s : echo.symbols) {
        if (!s.starts_with(c.op)) continue;
        const bool ours = s.starts_with(wanted) && (s[wanted.size()] == '<' || s[wanted.size()] == '_');
        (ours ? symbols : others).push_back(s);
      }
      record.rung = c.rung;
      record.measured["symbols"] = symbols, record.measured["other_symbols"] = others;
      const auto [at, fresh] = launched_by.emplace(std::pair(std::string(c.op), echo.symbols), c.rung);
      if (symbols.empty() || !others.empty())
        record.outcome = {Verdict::kVacuous, fmt::format("{} was asked for; launched: {}", wanted,
                                                         fmt::join(symbols.empty() ? others : echo.symbols, ", "))};
      else if (!fresh)
        record.outcome = {Verdict::kVacuous, fmt::format("the same symbols were launched for {} {}", c.op, at->second)};
      else if (logits_are_trivial(echo.logits, weights->config.vocab_size))
        record.outcome = {Verdict::kMistrusted, "every row of logits is constant"};
      else
        record.outcome = {Verdict::kPass, ""};
    });
}

}  // namespace greta::runners
