#include "model/llama.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/argmax/argmax.hpp"
#include "kernels/tile/quant_blocks.hpp"
#include "model/llama_parts.hpp"

namespace greta::model {
namespace {

/// Decode attention's grid follows the longest sequence; recorded steps round it up to whole splits, so that a
/// recording serves that many steps. Splits beyond a sequence's end are idle and leave its bits alone.
constexpr int64_t kStepKeys = 512;

/// The last prefill rung that takes the model's heads and has a decode rung of its arithmetic.
const PrefillAttentionRung& default_prefill_rung(const LlamaConfig& c, DType kv) {
  PrefillAttentionProblem p;
  p.batch = 1, p.n_tokens = 1, p.n_kv = 1, p.n_heads = c.n_heads, p.n_kv_heads = c.n_kv_heads, p.head_dim = c.head_dim;
  p.dtype = kv;
  const auto ladder = prefill_attention_ladder();
  for (size_t i = ladder.size(); i > 0; --i) {
    if (!ladder[i - 1].accepts(p).empty()) continue;
    for (const DecodeAttentionRung& decode : decode_attention_ladder())
      if (std::string_view(decode.arithmetic) == ladder[i - 1].arithmetic) return ladder[i - 1];
  }
  return ladder.front();  // refuses with its reason when launched
}

}  // namespace

Llama::Llama(std::shared_ptr<const Weights> weights, EngineOptions options)
    : weights_(std::move(weights)),
      options_(std::move(options)),
      own_stream_("model"),
      scratch_(std::make_unique<Scratch>()) {
  const LlamaConfig& c = weights_->config;
  if (options_.defect == Defect::kKvDtypeIgnored) options_.kv = DType::kF16;
  if (options_.defect == Defect::kAttentionRungIgnored)
    options_.rungs.erase("prefill_attention"), options_.rungs.erase("decode_attention");
  if (options_.defect == Defect::kMatmulRungIgnored) options_.rungs.erase("quant_matmul");
  if (options_.context == 0) options_.context = c.context_length;
  if (options_.context > c.context_length)
    throw_invalid(
        fmt::format("context: {} positions asked for, the model was made for {}", options_.context, c.context_length));
  static constexpr const char* kOperators[] = {
      "prefill_attention", "decode_attention", "quant_matmul",  "rms_norm",        "rope",      "kv_store", "swiglu",
      "residual_add",      "add_rms_norm",     "rope_kv_store", "swiglu_quantize", "embedding", "argmax"};
  for (const auto& [name, rung] : options_.rungs)
    if (std::find(std::begin(kOperators), std::end(kOperators), name) == std::end(kOperators))
      throw_invalid(fmt::format("--rung {}={}: no operator '{}'; `greta list` shows them", name, rung, name));
  const auto named = [&](const char* name, auto ladder, auto& otherwise) -> auto& {
    const auto it = options_.rungs.find(name);
    return it == options_.rungs.end() ? otherwise : find_rung(name, ladder, it->second);
  };
  prefill_rung_ = &named("prefill_attention", prefill_attention_ladder(), default_prefill_rung(c, options_.kv));
  // Decode follows prefill's arithmetic unless told otherwise, so that bits can be compared; which of its rungs, the
  // context decides.
  decode_arithmetic_ =
      named("decode_attention", decode_attention_ladder(), decode_attention_rung_for(prefill_rung_->arithmetic))
          .arithmetic;
  if (const auto it = options_.rungs.find("decode_attention"); it != options_.rungs.end())
    decode_rung_ = &find_rung("decode_attention", decode_attention_ladder(), it->second);
  if (options_.planting) planter_ = std::make_unique<Planter>(*options_.planting, c.n_layers);
  cache_ =
      std::make_unique<KvCache>(c.n_layers, options_.slots, options_.context, c.n_kv_heads, c.head_dim, options_.kv);
  kv_rows_read_.assign(static_cast<size_t>(options_.slots), std::vector<int64_t>(4, 0));
  const std::vector<float> table = reference::rope_table(c.rope_angles(), options_.context + 1);
  scratch_->rope_rows = options_.context + 1;
  scratch_->rope_table = hip::DeviceTensor("rope_table", DType::kF32, table.size());
  scratch_->rope_table.upload_bytes(*stream_, table.data(), table.size() * sizeof(float));
}

Llama::~Llama() = default;

void Llama::use_stream(hip::Stream* stream) {
  if (stream == stream_) return;
  stream_->synchronize();
  stream_ = stream ? stream : &own_stream_;
}

void Llama::prepare(int64_t rows) {
  Scratch& s = *scratch_;
  s.blocks_of = nullptr;
  if (rows <= s.rows) return;
  s.steps.clear();  // recorded steps know the old buffers
  const LlamaConfig& c = weights_->config;
  const auto n = static_cast<size_t>(rows);
  const auto tensor = [&](const char* name, DType type, int64_t width) {
    return hip::DeviceTensor(name, type, n * static_cast<size_t>(width));
  };
  const int64_t q_width = c.n_heads * c.head_dim, kv_width = c.n_kv_heads * c.head_dim;
  const int64_t widest = std::max({c.dim, q_width, c.ffn_dim});
  s.residual = tensor("residual", DType::kF32, c.dim);
  s.normed = tensor("normed", options_.activations, c.dim);
  s.q = tensor("q", options_.kv, q_width);
  s.k = tensor("k", options_.kv, kv_width);
  s.v = tensor("v", options_.kv, kv_width);
  s.attn_out = tensor("attn_out", options_.kv, q_width);
  s.branch = tensor("branch", DType::kF32, c.dim);
  s.gate = tensor("gate", options_.activations, c.ffn_dim);
  s.up = tensor("up", options_.activations, c.ffn_dim);
  s.hidden = tensor("hidden", options_.activations, c.ffn_dim);
  s.act256 = tensor("activation_blocks.256", DType::kQ8Act256, (widest + kSuperblock - 1) / kSuperblock);
  s.act32 = tensor("activation_blocks.32", DType::kQ8Act32, (widest + kSmallBlock - 1) / kSmallBlock);
  s.step_inputs = hip::DeviceBuffer<int32_t>("step_inputs", n * Scratch::kInputs);
  const int64_t logits_rows = std::min(rows, kLogitsChunk);
  s.logits = hip::DeviceTensor("logits", DType::kF32, static_cast<size_t>(logits_rows * c.vocab_size));
  s.chosen = hip::DeviceTensor("argmax", DType::kI32, static_cast<size_t>(logits_rows));
  s.rows = rows;
}

void Llama::upload_inputs(std::span<const int32_t> ids, const StepInputs& in) {
  std::vector<int32_t> all;
  all.reserve(ids.size() * Scratch::kInputs);
  const std::span<const int32_t> parts[] = {ids, in.positions, in.rope_positions, in.slots, in.n_kv};
  for (size_t i = 0; i < Scratch::kInputs; ++i) {
    all.insert(all.end(), parts[i].begin(), parts[i].end());
    all.resize((i + 1) * ids.size());  // n_kv is the kernels' own affair in a prefill pass
  }
  scratch_->step_inputs.upload(*stream_, all);
}

void Llama::enqueue_logits(int64_t first_row, int64_t rows) {
  const LlamaConfig& c = weights_->config;
  Scratch& s = *scratch_;
  const hip::AnyView normed = s.normed.view().slice(0, static_cast<size_t>(rows * c.dim));
  const hip::AnyView logits = s.logits.view().slice(0, static_cast<size_t>(rows * c.vocab_size));
  const int64_t before = options_.defect == Defect::kReadoutRowBefore && first_row > 0 ? 1 : 0;
  norm(first_row - before, rows, weights_->output_norm.view(), {&weights_->output_matrix()});
  stage_first_row_ = first_row;
  stage("final_norm", -1, rows, c.dim, normed);
  s.logits.poison(*stream_);
  matmul(weights_->output_matrix(), normed, logits, rows, *stream_);
  stage("logits", -1, rows, c.vocab_size, logits);
  stage_first_row_ = 0;
  last_logits_rows_ = rows;
}

void Llama::download_logits(int64_t rows, float* to) {
  scratch_->logits.download_bytes(*stream_, to,
                                  static_cast<size_t>(rows * weights_->config.vocab_size) * sizeof(float));
}

std::vector<float> Llama::logits_of(int64_t rows, int64_t first_row) {
  std::vector<float> out(static_cast<size_t>(rows * weights_->config.vocab_size));
  for (int64_t done = 0; done < rows; done += kLogitsChunk) {
    const int64_t n = std::min(kLogitsChunk, rows - done);
    enqueue_logits(first_row + done, n);
    download_logits(n, out.data() + done * weights_->config.vocab_size);
  }
  return out;
}

namespace {

void check_ids(std::span<const int32_t> ids, int64_t vocab) {
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= vocab)
      throw_invalid(fmt::format("token {} of the input is {}, the vocabulary has ids 0..{}", i, ids[i], vocab - 1));
}

}  // namespace

void Llama::note_kv_reads(int64_t slot, int64_t positions) {
  const std::vector<int64_t> read = cache_->writers(slot, positions);
  for (size_t i = 0; i < read.size(); ++i) kv_rows_read_[static_cast<size_t>(slot)][i] += read[i];
}

void Llama::enqueue_prefill(int64_t slot, std::span<const int32_t> ids) {
  if (ids.empty()) throw_invalid("prefill: no tokens");
  check_ids(ids, weights_->config.vocab_size);
  const auto rows = static_cast<int64_t>(ids.size());
  cache_->check_room(slot, rows);
  prepare(rows);
  Pass pass;
  pass.rows = rows, pass.slot = slot, pass.start = cache_->length(slot);
  note_kv_reads(slot, pass.start);
  StepInputs in;
  pass_rows_.clear();
  for (int64_t i = 0; i < rows; ++i) {
    note_pass_row(slot, pass.start + i);
    const auto position = static_cast<int32_t>(pass.start + i);
    in.positions.push_back(position);
    in.rope_positions.push_back(position + 1);
    // The defect sends the row of position 3 nowhere: what the buffer held stays.
    const bool stale = options_.defect == Defect::kStaleKvRow && position == 3;
    in.slots.push_back(stale ? -1 : static_cast<int32_t>(slot));
  }
  upload_inputs(ids, in);
  run_layers(pass);
  cache_->extend(slot, rows, KvWriter::kPrefill);
}

std::vector<float> Llama::prefill(int64_t slot, std::span<const int32_t> ids, int64_t logits_from) {
  const auto rows = static_cast<int64_t>(ids.size());
  if (logits_from < 0 || logits_from > rows)
    throw_invalid(fmt::format("prefill: logits from row {} of {}", logits_from, rows));
  enqueue_prefill(slot, ids);
  return logits_from < rows ? logits_of(rows - logits_from, logits_from) : std::vector<float>{};
}

int32_t Llama::prefill_argmax(int64_t slot, std::span<const int32_t> ids) {
  enqueue_prefill(slot, ids);
  enqueue_logits(static_cast<int64_t>(ids.size()) - 1, 1);
  enqueue_argmax();
  return download_argmax().front();
}

void Llama::run_step(Pass& pass, StepKey key) {
  Scratch& s = *scratch_;
  const auto enqueue = [&] {
    run_layers(pass);
    if (key.logits) enqueue_logits(0, pass.rows);
    if (key.argmax) enqueue_argmax();
  };
  if (!options_.graphs || !hip::Graph::supported() || watched()) return enqueue();
  Step* step = &s.steps[key];
  if (!step->launched) {
    enqueue();
    s.steps[key].launched = true;  // buffers that grew have dropped every step, this one too
    return;
  }
  if (!step->graph) {
    recording_ = true;
    try {
      step->graph.record(*stream_, enqueue);
    } catch (...) {
      recording_ = false;
      throw;
    }
    recording_ = false;
  }
  step->graph.replay(*stream_);
  last_logits_rows_ = key.logits ? pass.rows : last_logits_rows_;
}

void Llama::enqueue_decode(std::span<const int32_t> ids, bool logits, bool argmax) {
  if (ids.empty()) throw_invalid("decode: no tokens");
  check_ids(ids, weights_->config.vocab_size);
  const auto rows = static_cast<int64_t>(ids.size());
  for (int64_t b = 0; b < rows; ++b) cache_->check_room(b, 1);
  prepare(rows);
  Pass pass;
  pass.decode = true, pass.rows = rows;
  StepInputs in;
  pass_rows_.clear();
  for (int64_t b = 0; b < rows; ++b) {
    const int64_t position = cache_->length(b);
    note_pass_row(b, position);
    note_kv_reads(b, position);
    const bool stale = options_.defect == Defect::kStaleKvRow && position == 3;
    const bool blind = options_.defect == Defect::kLastKvIgnored && position > 0;
    in.positions.push_back(static_cast<int32_t>(position));
    in.rope_positions.push_back(static_cast<int32_t>(position + 1));
    in.slots.push_back(stale ? -1 : static_cast<int32_t>(b));
    in.n_kv.push_back(static_cast<int32_t>(blind ? position : position + 1));
    pass.max_kv = std::max(pass.max_kv, position + 1);
  }
  if (options_.defect == Defect::kBatchKvLengths)
    in.n_kv.assign(in.n_kv.size(), *std::max_element(in.n_kv.begin(), in.n_kv.end()));
  if (options_.graphs && hip::Graph::supported())
    pass.max_kv = std::min(cache_->capacity(), (pass.max_kv + kStepKeys - 1) / kStepKeys * kStepKeys);
  upload_inputs(ids, in);
  run_step(pass, {rows, pass.max_kv, logits, argmax});
  for (int64_t b = 0; b < rows; ++b) cache_->extend(b, 1, KvWriter::kDecode);
}

std::vector<float> Llama::decode(std::span<const int32_t> ids, bool logits) {
  const auto rows = static_cast<int64_t>(ids.size());
  const bool one_chunk = rows <= kLogitsChunk;
  enqueue_decode(ids, logits && one_chunk, false);
  if (!logits) return {};
  if (!one_chunk) return logits_of(rows, 0);
  std::vector<float> out(static_cast<size_t>(rows * weights_->config.vocab_size));
  download_logits(rows, out.data());
  return out;
}

std::vector<int32_t> Llama::decode_argmax(std::span<const int32_t> ids) {
  if (static_cast<int64_t>(ids.size()) > kLogitsChunk)
    throw_invalid(fmt::format("decode_argmax: {} sequences, at most {} at once", ids.size(), kLogitsChunk));
  enqueue_decode(ids, true, true);
  return download_argmax();
}

void Llama::enqueue_argmax() {
  ArgmaxProblem p;
  p.n_rows = last_logits_rows_, p.width = weights_->config.vocab_size;
  if (p.n_rows < 1) throw_invalid("argmax: no pass has made logits yet");
  argmax(
      *stream_, rung_of(options_, "argmax", argmax_ladder(), p), p,
      {.logits = scratch_->logits.view().slice(0, static_cast<size_t>(p.elements())).as<const float>("argmax logits"),
       .index = scratch_->chosen.view().slice(0, static_cast<size_t>(p.n_rows)).as<int32_t>("argmax index")});
}

std::vector<int32_t> Llama::download_argmax() {
  std::vector<int32_t> chosen(static_cast<size_t>(last_logits_rows_));
  scratch_->chosen.download_bytes(*stream_, chosen.data(), chosen.size() * sizeof(int32_t));
  for (size_t i = 0; i < chosen.size(); ++i)
    if (chosen[i] < 0)
      throw Error(ErrorKind::kDeviceFault,
                  fmt::format("logits row {}: NaN at vocabulary id {}; `greta gate` finds where "
                              "it comes from",
                              i, -1 - chosen[i]));
  return chosen;
}

std::vector<int32_t> Llama::argmax_of_last_logits() {
  enqueue_argmax();
  return download_argmax();
}

std::vector<float> Llama::last_logits() {
  if (last_logits_rows_ < 1) throw_invalid("last_logits: no pass has made logits yet");
  std::vector<float> out(static_cast<size_t>(last_logits_rows_ * weights_->config.vocab_size));
  download_logits(last_logits_rows_, out.data());
  return out;
}

std::string Llama::attention_arithmetic(bool decode_pass) const {
  return decode_pass ? decode_arithmetic_ : prefill_rung_->arithmetic;
}

}  // namespace greta::model
