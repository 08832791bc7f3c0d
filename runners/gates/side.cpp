#include "runners/gates/side.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <set>
#include <tuple>

#include "results/sha256.hpp"

namespace greta::runners {
namespace {

using Kind = SideSpec::Kind;

void append(std::vector<float>& to, const std::vector<float>& from) { to.insert(to.end(), from.begin(), from.end()); }

/// Replaces rows [from, to) of the sequence by those of the slot that one prefill pass over all ids filled.
void align_rows(model::Llama& engine, const SideRequest& r, int64_t aligned_slot, int64_t slot, int64_t from,
                int64_t to) {
  if (engine.options().defect == model::Defect::kKvAlignedIgnored) return;
  const bool shifted = engine.options().defect == model::Defect::kAlignedRowShifted;
  for (int64_t i = from; i < to; ++i)
    engine.cache().copy_row(engine.stream(), aligned_slot, slot, i, shifted && i > 0 ? i - 1 : -1);
  if (r.on_aligned) r.on_aligned(engine, slot, from, to);
}

/// Feeds the ids in chunks; `chunk` = ids.size() is one prefill pass.
void run_chunks(model::Llama& engine, const SideRequest& r, int64_t chunk, SideRun& run) {
  const auto n = static_cast<int64_t>(r.ids.size());
  for (int64_t at = 0; at < n; at += chunk) {
    if (r.kv_aligned) align_rows(engine, r, 1, 0, std::max<int64_t>(at - chunk, 0), at);
    const int64_t rows = std::min(chunk, n - at);
    const int64_t from = std::clamp<int64_t>(r.first_position - at, 0, rows);
    append(run.logits, engine.prefill(0, r.ids.subspan(static_cast<size_t>(at), static_cast<size_t>(rows)), from));
  }
}

/// The sequence in slot `place` of `batch` slots, all decoding in step; the others have other ids and other lengths.
void run_decode(model::Llama& engine, const SideRequest& r, int64_t batch, std::mt19937_64& random, SideRun& run) {
  const auto n = static_cast<int64_t>(r.ids.size());
  const int64_t vocab = engine.config().vocab_size;
  const auto stranger = [&] { return static_cast<int32_t>(random() % static_cast<uint64_t>(vocab)); };
  // Neighbours start with prefixes of other lengths, so that no two rows of a pass are at one position by construction.
  const int64_t room = engine.options().context - n;
  for (int64_t b = 0; b < batch; ++b) {
    if (b == run.place) {
      const int64_t from = r.first_position > 0 ? 1 : 0;
      append(run.logits, engine.prefill(b, r.ids.first(1), from));
      continue;
    }
    std::vector<int32_t> prefix(
        static_cast<size_t>(std::min<int64_t>(1 + static_cast<int64_t>(random() % 13), 1 + room)));
    for (auto& id : prefix) id = stranger();
    engine.prefill(b, prefix, static_cast<int64_t>(prefix.size()));
  }
  for (int64_t i = 1; i < n; ++i) {
    if (r.kv_aligned) align_rows(engine, r, batch, run.place, i - 1, i);
    std::vector<int32_t> ids(static_cast<size_t>(batch));
    for (int64_t b = 0; b < batch; ++b)
      ids[static_cast<size_t>(b)] = b == run.place ? r.ids[static_cast<size_t>(i)] : stranger();
    const bool wanted = i >= r.first_position;
    const std::vector<float> logits = engine.decode(ids, wanted);
    if (wanted)
      run.logits.insert(run.logits.end(), logits.begin() + run.place * vocab, logits.begin() + (run.place + 1) * vocab);
  }
}

}  // namespace

std::string SideSpec::text() const {
  switch (kind) {
    case Kind::kPrefill:
      return "prefill";
    case Kind::kDecode:
      return "decode";
    case Kind::kChunk:
      return fmt::format("chunk:{}", n);
    case Kind::kBatch:
      return fmt::format("batch:{}", n);
    case Kind::kReference:
      return "reference";
  }
  return "?";
}

SideSpec side_from_text(const std::string& flag, const std::string& text) {
  if (text == "prefill") return {Kind::kPrefill, 0};
  if (text == "decode") return {Kind::kDecode, 0};
  if (text == "reference") return {Kind::kReference, 0};
  for (const auto& [prefix, kind, least] :
       {std::tuple{"chunk:", Kind::kChunk, 1}, std::tuple{"batch:", Kind::kBatch, 2}}) {
    const std::string_view p = prefix;
    if (!text.starts_with(p)) continue;
    int64_t n = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + p.size(), end, n);
    if (error == std::errc{} && stop == end && n >= least && n <= 4096) return {kind, n};
    throw_invalid(fmt::format("{} {}: want {}N with N from {} to 4096", flag, text, prefix, least));
  }
  throw_invalid(fmt::format("{} {}: want prefill, decode, chunk:N, batch:N or reference", flag, text));
}

namespace {

uint64_t seed_of(const SideRequest& r, model::Defect defect) {
  static uint64_t runs = 0;
  if (defect == model::Defect::kSeedIgnored) return 1;
  return defect == model::Defect::kSeedUnrepeatable ? r.seed + 1000 * ++runs : r.seed;
}

}  // namespace

SideRun run_side(const std::shared_ptr<const model::Weights>& weights, model::EngineOptions options,
                 const SideRequest& request) {
  SideRequest r = request;
  std::vector<int32_t> leaked;
  if (options.defect == model::Defect::kSeedLeaks && !r.ids.empty()) {
    leaked.assign(r.ids.begin(), r.ids.end());
    leaked[0] = static_cast<int32_t>((static_cast<uint64_t>(leaked[0]) + r.seed) %
                                     static_cast<uint64_t>(weights->config.vocab_size));
    r.ids = leaked;
  }
  const auto n = static_cast<int64_t>(r.ids.size());
  const bool aligned = r.kv_aligned;
  const bool dropped = options.defect == model::Defect::kBatchIgnored;
  const int64_t batch = r.side.kind == Kind::kBatch && !dropped ? r.side.n : 1;
  options.slots = batch + (aligned ? 1 : 0);
  // Neighbours of a batch may be up to 12 positions ahead of the sequence.
  options.context = std::min<int64_t>(weights->config.context_length, n + (batch > 1 ? 16 : 0));
  SideRun run;
  std::mt19937_64 random(seed_of(r, options.defect) * 0x9e3779b97f4a7c15ull + 17);
  run.place = batch > 1 ? static_cast<int64_t>(random() % static_cast<uint64_t>(batch)) : 0;
  if (options.planting) options.planting->slot = run.place;
  model::Llama engine(weights, options);
  // The rows to align with are written before the log starts: they belong to the other path.
  if (aligned) engine.prefill(batch, r.aligned_ids.empty() ? r.ids : r.aligned_ids, n);
  if (r.watch) r.watch(engine, run.place);

  run.side = r.side;
  run.tokens_fed = n;
  const auto start = std::chrono::steady_clock::now();
  hip::LaunchLog log;
  switch (r.side.kind) {
    case Kind::kPrefill:
      run_chunks(engine, r, n, run);
      break;
    case Kind::kChunk:
      run_chunks(engine, r, r.side.n, run);
      break;
    case Kind::kDecode:
    case Kind::kBatch:
      run_decode(engine, r, batch, random, run);
      break;
    case Kind::kReference:
      throw_invalid("run_side: the reference is no kernel side");
  }
  run.launches = log.rows();
  run.planted = engine.planted();
  if (options.planting && run.planted == 0)
    throw_invalid(fmt::format("planting {}: nothing was changed on side {}; the positions fed are 0..{}{}",
                              model::to_text(*options.planting), r.side.text(), n - 1,
                              r.first_position ? fmt::format(", with logits from {} on", r.first_position) : ""));
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  run.kv_rows_read = engine.kv_rows_read(run.place);
  run.attention_arithmetic = engine.attention_arithmetic(r.side.has_decode_passes());
  return run;
}

bool same_launches(const SideRun& a, const SideRun& b) {
  const auto key = [](const SideRun& run) {
    std::set<std::tuple<std::string, unsigned, unsigned, unsigned, int64_t>> rows;
    for (const auto& l : run.launches) rows.insert({l.kernel, l.grid[0], l.grid[1], l.grid[2], l.rows});
    return rows;
  };
  return key(a) == key(b);
}

std::optional<std::string> alignment_ignored(const SideRun& run, bool kv_aligned) {
  const auto& rows = run.kv_rows_read;
  const int64_t others = rows[0] + rows[1] + rows[2];
  if (kv_aligned && others > 0)
    return fmt::format("--kv-aligned 1 had no effect on {}: {} of the {} KV rows it read were its own, not prefill's",
                       run.side.text(), others, others + rows[3]);
  if (!kv_aligned && rows[3] > 0)
    return fmt::format("--kv-aligned 0 had no effect on {}: {} KV rows it read were aligned", run.side.text(), rows[3]);
  return std::nullopt;
}

results::Json SideRun::config() const {
  results::Json launched = results::Json::array();
  for (const auto& l : launches)
    launched.push_back({{"kernel", l.kernel},
                        {"grid", {l.grid[0], l.grid[1], l.grid[2]}},
                        {"block", {l.block[0], l.block[1], l.block[2]}},
                        {"m", l.rows},
                        {"count", l.count}});
  return {{"side", side.text()},
          {"tokens_fed", tokens_fed},
          {"slot", place},
          {"attention_arithmetic", attention_arithmetic},
          {"kv_rows_read",
           {{"unwritten", kv_rows_read[0]},
            {"prefill", kv_rows_read[1]},
            {"decode", kv_rows_read[2]},
            {"aligned", kv_rows_read[3]}}},
          {"seconds", seconds},
          {"logits_sha256", results::sha256_of(std::span<const float>(logits))},
          {"launches", std::move(launched)}};
}

}  // namespace greta::runners
