#include "model/llama.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/argmax/argmax.hpp"
#include "kernels/embedding/embedding.hpp"
#include "kernels/kv_store/kv_store.hpp"
#include "kernels/residual_add/residual_add.hpp"
#include "kernels/rms_norm/rms_norm.hpp"
#include "kernels/rope/rope.hpp"
#include "kernels/swiglu/swiglu.hpp"
#include "kernels/tile/quant_blocks.hpp"

namespace greta::model {
namespace {

/// Rows of logits computed at once: bounds the workspace of a long prompt with a large vocabulary.
constexpr int64_t kLogitsChunk = 64;

template <class R>
const R& chosen_rung(const EngineOptions& options, const std::string& name, std::span<const R> ladder,
                     const R& fallback) {
  const auto it = options.rungs.find(name);
  return it == options.rungs.end() ? fallback : find_rung(name, ladder, it->second);
}

}  // namespace

/// Intermediate tensors of a pass, grown to the largest pass so far.
struct Llama::Scratch {
  int64_t rows = 0;
  hip::DeviceTensor residual, normed, q, k, v, attn_out, branch, gate, up, hidden;
  hip::DeviceTensor act256, act32;
  hip::DeviceTensor attention_workspace;
  hip::DeviceTensor logits, logits_input, chosen;
  hip::DeviceBuffer<int32_t> ids, positions, rope_positions, slots, n_kv;
  hip::DeviceTensor rope_table;
  int64_t rope_rows = 0;
  const void* blocks_of = nullptr;  ///< whose quantised form act256 or act32 hold now
  DType blocks_type = DType::kU8;
};

struct Llama::Pass {
  bool decode = false;
  int64_t rows = 0;
  int64_t slot = 0;    ///< prefill
  int64_t start = 0;   ///< prefill: position of the first row
  int64_t max_kv = 0;  ///< decode: longest n_kv of the batch
};

Llama::Llama(std::shared_ptr<const Weights> weights, EngineOptions options)
    : weights_(std::move(weights)),
      options_(std::move(options)),
      stream_("model"),
      scratch_(std::make_unique<Scratch>()) {
  const LlamaConfig& c = weights_->config;
  if (options_.context == 0) options_.context = c.context_length;
  if (options_.context > c.context_length)
    throw_invalid(
        fmt::format("context: {} positions asked for, the model was made for {}", options_.context, c.context_length));
  static constexpr const char* kOperators[] = {
      "prefill_attention", "decode_attention", "quant_matmul", "rms_norm",  "rope",
      "kv_store",          "swiglu",           "residual_add", "embedding", "argmax"};
  for (const auto& [name, rung] : options_.rungs)
    if (std::find(std::begin(kOperators), std::end(kOperators), name) == std::end(kOperators))
      throw_invalid(fmt::format("--rung {}={}: no operator '{}'; `greta list` shows them", name, rung, name));
  prefill_rung_ =
      &chosen_rung(options_, "prefill_attention", prefill_attention_ladder(), prefill_attention_ladder().back());
  // Decode follows prefill's arithmetic unless told otherwise, so that bits can be compared.
  decode_rung_ = &chosen_rung(options_, "decode_attention", decode_attention_ladder(),
                              decode_attention_rung_for(prefill_rung_->arithmetic));
  cache_ =
      std::make_unique<KvCache>(c.n_layers, options_.slots, options_.context, c.n_kv_heads, c.head_dim, options_.kv);
  kv_rows_read_.assign(static_cast<size_t>(options_.slots), std::vector<int64_t>(4, 0));
  const std::vector<float> table = reference::rope_table(c.rope_angles(), options_.context + 1);
  scratch_->rope_rows = options_.context + 1;
  scratch_->rope_table = hip::DeviceTensor("rope_table", DType::kF32, table.size());
  scratch_->rope_table.upload_bytes(stream_, table.data(), table.size() * sizeof(float));
}

Llama::~Llama() = default;

void Llama::prepare(int64_t rows) {
  Scratch& s = *scratch_;
  s.blocks_of = nullptr;
  if (rows <= s.rows) return;
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
  s.ids = hip::DeviceBuffer<int32_t>("ids", n);
  s.positions = hip::DeviceBuffer<int32_t>("positions", n);
  s.rope_positions = hip::DeviceBuffer<int32_t>("rope_positions", n);
  s.slots = hip::DeviceBuffer<int32_t>("slots", n);
  s.n_kv = hip::DeviceBuffer<int32_t>("n_kv", n);
  const int64_t logits_rows = std::min(rows, kLogitsChunk);
  s.logits = hip::DeviceTensor("logits", DType::kF32, static_cast<size_t>(logits_rows * c.vocab_size));
  s.chosen = hip::DeviceTensor("argmax", DType::kI32, static_cast<size_t>(logits_rows));
  s.rows = rows;
}

void Llama::stage(std::string_view name, int64_t layer, int64_t rows, int64_t width, hip::AnyView data) {
  if (sink_) sink_(name, layer, rows, width, data);
}

void Llama::norm(hip::AnyView x, hip::AnyView weight, hip::AnyView y, int64_t rows) {
  RmsNormProblem p;
  p.n_rows = rows, p.width = weights_->config.dim, p.y = y.dtype();
  p.eps = options_.defect == Defect::kEpsWrong ? 1e-2f : static_cast<float>(weights_->config.rms_eps);
  const auto& rung = chosen_rung(options_, "rms_norm", rms_norm_ladder(), rms_norm_ladder().back());
  rms_norm(stream_, rung, p,
           {.x = x.as<const float>("rms_norm x"), .weight = weight.as<const float>("rms_norm weight"), .y = y});
  scratch_->blocks_of = nullptr;
}

void Llama::matmul(const DeviceMatrix& w, hip::AnyView x, hip::AnyView y, int64_t m) {
  QuantMatmulProblem p;
  p.m = m, p.n_out = w.rows, p.n_in = w.cols, p.weights = w.dtype(), p.x = x.dtype(), p.y = y.dtype();
  const auto it = options_.rungs.find("quant_matmul");
  const QuantMatmulRung* rung = &quant_matmul_default_rung(p);
  if (it != options_.rungs.end()) {
    // A rung made for few rows cannot serve a prefill pass and the other way round: there the default stays.
    const QuantMatmulRung& wanted = find_rung("quant_matmul", quant_matmul_ladder(), it->second);
    if (wanted.accepts(p).empty()) rung = &wanted;
  }
  hip::AnyView input = x;
  if (p.quantised()) {
    Scratch& s = *scratch_;
    const bool small = p.activation_blocks() == DType::kQ8Act32;
    const size_t blocks = static_cast<size_t>(m * p.activation_blocks_per_row());
    input = (small ? s.act32 : s.act256).view().slice(0, blocks);
    if (s.blocks_of != x.data() || s.blocks_type != p.activation_blocks()) {
      quantize_activations(stream_, p, x, input);
      s.blocks_of = x.data(), s.blocks_type = p.activation_blocks();
    }
  }
  quant_matmul(stream_, *rung, p, {.weights = w.data.view(), .x = input, .y = y});
}

void Llama::attention(Pass& pass, int64_t layer) {
  const LlamaConfig& c = weights_->config;
  Scratch& s = *scratch_;
  const Defect defect = options_.defect;
  const float scale = defect == Defect::kScaleOmitted ? 1.0f : 0.0f;
  const int64_t head_map = defect == Defect::kWrongGqaMap ? 1 : 0;
  const size_t q_elements = static_cast<size_t>(pass.rows * c.n_heads * c.head_dim);
  if (!pass.decode) {
    PrefillAttentionProblem p;
    p.batch = 1, p.n_tokens = pass.rows, p.n_kv = pass.start + pass.rows, p.n_heads = c.n_heads;
    p.n_kv_heads = c.n_kv_heads, p.head_dim = c.head_dim, p.kv_capacity = cache_->capacity();
    p.head_map = head_map, p.dtype = options_.kv;
    PrefillAttentionArgs args;
    args.q = s.q.view().slice(0, q_elements), args.o = s.attn_out.view().slice(0, q_elements);
    args.k = cache_->k(layer, pass.slot), args.v = cache_->v(layer, pass.slot);
    args.scale = scale, args.exp = options_.exp;
    prefill_attention(stream_, *prefill_rung_, p, args);
    return;
  }
  DecodeAttentionProblem p;
  p.batch = pass.rows, p.n_kv = pass.max_kv, p.n_heads = c.n_heads, p.n_kv_heads = c.n_kv_heads;
  p.head_dim = c.head_dim, p.kv_capacity = cache_->capacity(), p.head_map = head_map, p.dtype = options_.kv;
  const size_t workspace = decode_attention_workspace(p);
  if (s.attention_workspace.count() < workspace)
    s.attention_workspace = hip::DeviceTensor("decode_attention.workspace", DType::kF32, workspace + workspace / 2);
  const size_t kv_elements = static_cast<size_t>(p.kv_elements());
  DecodeAttentionArgs args;
  args.q = s.q.view().slice(0, q_elements), args.o = s.attn_out.view().slice(0, q_elements);
  args.k = cache_->k(layer).slice(0, kv_elements), args.v = cache_->v(layer).slice(0, kv_elements);
  args.n_kv_of = s.n_kv.cview().slice(0, static_cast<size_t>(pass.rows));
  args.workspace = s.attention_workspace.view().as<float>("workspace");
  args.scale = scale, args.exp = options_.exp;
  decode_attention(stream_, *decode_rung_, p, args);
}

void Llama::run_layers(Pass& pass) {
  const LlamaConfig& c = weights_->config;
  Scratch& s = *scratch_;
  const int64_t rows = pass.rows;
  const auto part = [&](const hip::DeviceTensor& t, int64_t width) {
    return t.view().slice(0, static_cast<size_t>(rows * width));
  };
  const int64_t q_width = c.n_heads * c.head_dim, kv_width = c.n_kv_heads * c.head_dim;
  const hip::AnyView residual = part(s.residual, c.dim), normed = part(s.normed, c.dim), branch = part(s.branch, c.dim);
  const hip::AnyView q = part(s.q, q_width), k = part(s.k, kv_width), v = part(s.v, kv_width),
                     o = part(s.attn_out, q_width);
  const hip::AnyView gate = part(s.gate, c.ffn_dim), up = part(s.up, c.ffn_dim), hidden = part(s.hidden, c.ffn_dim);
  const auto n = static_cast<size_t>(rows);
  const Defect defect = options_.defect;

  EmbeddingProblem embed;
  embed.n_tokens = rows, embed.n_vocab = c.vocab_size, embed.width = c.dim,
  embed.weights = weights_->token_embd.dtype();
  embedding(stream_, chosen_rung(options_, "embedding", embedding_ladder(), embedding_ladder().back()), embed,
            {.table = weights_->token_embd.data.view(),
             .ids = s.ids.cview().slice(0, n),
             .y = residual.as<float>("embedding y")});
  stage("embed_out", -1, rows, c.dim, residual);

  const auto rotate = [&](hip::AnyView x, int64_t heads, const hip::DeviceBuffer<int32_t>& positions) {
    RopeProblem p;
    p.n_tokens = rows, p.n_heads = heads, p.head_dim = c.head_dim, p.n_positions = s.rope_rows, p.dtype = options_.kv;
    p.half_split = defect == Defect::kRopePairsSwapped ? 1 : 0;
    rope(stream_, chosen_rung(options_, "rope", rope_ladder(), rope_ladder().back()), p,
         {.x = x, .positions = positions.cview().slice(0, n), .table = s.rope_table.view().as<const float>("table")});
  };
  const auto add = [&](hip::AnyView y) {
    ResidualAddProblem p;
    p.n_rows = rows, p.width = c.dim;
    residual_add(stream_, chosen_rung(options_, "residual_add", residual_add_ladder(), residual_add_ladder().back()), p,
                 {.x = residual.as<float>("residual x"), .y = y.as<const float>("residual y")});
  };

  for (int64_t layer = 0; layer < c.n_layers; ++layer) {
    const LayerWeights& w = weights_->layers[static_cast<size_t>(layer)];
    stage("residual_pre_attn", layer, rows, c.dim, residual);
    norm(residual, w.attn_norm.view(), normed, rows);
    stage("attn_in", layer, rows, c.dim, normed);
    matmul(w.wq, normed, q, rows);
    matmul(w.wk, normed, k, rows);
    matmul(w.wv, normed, v, rows);
    stage("q_pre_rope", layer, rows, q_width, q);
    stage("k_pre_rope", layer, rows, kv_width, k);
    stage("v", layer, rows, kv_width, v);
    rotate(q, c.n_heads, defect == Defect::kPositionOffByOne ? s.rope_positions : s.positions);
    rotate(k, c.n_kv_heads, s.positions);
    stage("q_post_rope", layer, rows, q_width, q);
    stage("k_post_rope", layer, rows, kv_width, k);
    KvStoreProblem store;
    store.n_tokens = rows, store.n_kv_heads = c.n_kv_heads, store.head_dim = c.head_dim,
    store.n_slots = cache_->n_slots();
    store.kv_capacity = cache_->capacity(), store.dtype = options_.kv;
    kv_store(stream_, chosen_rung(options_, "kv_store", kv_store_ladder(), kv_store_ladder().back()), store,
             {.k = k,
              .v = v,
              .k_cache = cache_->k(layer),
              .v_cache = cache_->v(layer),
              .slots = s.slots.cview().slice(0, n),
              .positions = s.positions.cview().slice(0, n)});
    attention(pass, layer);
    scratch_->blocks_of = nullptr;
    stage("attn_out", layer, rows, q_width, o);
    matmul(w.wo, o, branch, rows);
    stage("wo_out", layer, rows, c.dim, branch);
    if (defect != Defect::kResidualSkipped || layer + 1 != c.n_layers) add(branch);
    stage("residual_post_attn", layer, rows, c.dim, residual);

    norm(residual, w.ffn_norm.view(), normed, rows);
    stage("ffn_norm_in", layer, rows, c.dim, normed);
    matmul(w.gate, normed, gate, rows);
    matmul(w.up, normed, up, rows);
    SwigluProblem glu;
    glu.n_rows = rows, glu.width = c.ffn_dim, glu.dtype = options_.activations;
    swiglu(stream_, chosen_rung(options_, "swiglu", swiglu_ladder(), swiglu_ladder().back()), glu,
           {.gate = gate, .up = up, .y = hidden, .exp = options_.exp});
    scratch_->blocks_of = nullptr;
    stage("gate_up", layer, rows, c.ffn_dim, hidden);
    matmul(w.down, hidden, branch, rows);
    stage("mlp_out", layer, rows, c.dim, branch);
    add(branch);
    stage("residual_post_mlp", layer, rows, c.dim, residual);
  }
}

std::vector<float> Llama::logits_of(int64_t rows, int64_t first_row) {
  const LlamaConfig& c = weights_->config;
  Scratch& s = *scratch_;
  std::vector<float> out(static_cast<size_t>(rows * c.vocab_size));
  for (int64_t done = 0; done < rows; done += kLogitsChunk) {
    const int64_t n = std::min(kLogitsChunk, rows - done);
    const auto dim = static_cast<size_t>(c.dim);
    const hip::AnyView residual =
        s.residual.view().slice(static_cast<size_t>(first_row + done) * dim, static_cast<size_t>(n) * dim);
    const hip::AnyView normed = s.normed.view().slice(0, static_cast<size_t>(n) * dim);
    const hip::AnyView logits = s.logits.view().slice(0, static_cast<size_t>(n * c.vocab_size));
    norm(residual, weights_->output_norm.view(), normed, n);
    stage("final_norm", -1, n, c.dim, normed);
    s.logits.poison(stream_);
    matmul(weights_->output_matrix(), normed, logits, n);
    stage("logits", -1, n, c.vocab_size, logits);
    s.logits.download_bytes(stream_, out.data() + done * c.vocab_size,
                            static_cast<size_t>(n * c.vocab_size) * sizeof(float));
    last_logits_rows_ = n;
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

std::vector<float> Llama::prefill(int64_t slot, std::span<const int32_t> ids, int64_t logits_from) {
  if (ids.empty()) throw_invalid("prefill: no tokens");
  check_ids(ids, weights_->config.vocab_size);
  const auto rows = static_cast<int64_t>(ids.size());
  if (logits_from < 0 || logits_from > rows)
    throw_invalid(fmt::format("prefill: logits from row {} of {}", logits_from, rows));
  cache_->check_room(slot, rows);
  prepare(rows);
  Pass pass;
  pass.rows = rows, pass.slot = slot, pass.start = cache_->length(slot);
  note_kv_reads(slot, pass.start);
  std::vector<int32_t> positions(ids.size()), queries(ids.size()), slots(ids.size(), static_cast<int32_t>(slot));
  for (size_t i = 0; i < ids.size(); ++i) {
    positions[i] = static_cast<int32_t>(pass.start + static_cast<int64_t>(i));
    queries[i] = positions[i] + 1;
    // The defect sends the row of position 3 to where it does no good: over the row before it, which is written again
    // below it.
    if (options_.defect == Defect::kStaleKvRow && positions[i] == 3) slots[i] = -1;
  }
  scratch_->ids.upload(stream_, ids);
  scratch_->positions.upload(stream_, positions);
  scratch_->rope_positions.upload(stream_, queries);
  scratch_->slots.upload(stream_, slots);
  run_layers(pass);
  cache_->extend(slot, rows, KvWriter::kPrefill);
  return logits_from < rows ? logits_of(rows - logits_from, logits_from) : std::vector<float>{};
}

std::vector<float> Llama::decode(std::span<const int32_t> ids, bool logits) {
  if (ids.empty()) throw_invalid("decode: no tokens");
  check_ids(ids, weights_->config.vocab_size);
  const auto rows = static_cast<int64_t>(ids.size());
  for (int64_t b = 0; b < rows; ++b) cache_->check_room(b, 1);
  prepare(rows);
  Pass pass;
  pass.decode = true, pass.rows = rows;
  std::vector<int32_t> positions, queries, slots, n_kv;
  for (int64_t b = 0; b < rows; ++b) {
    const int64_t position = cache_->length(b);
    note_kv_reads(b, position);
    const bool stale = options_.defect == Defect::kStaleKvRow && position == 3;
    const bool blind = options_.defect == Defect::kLastKvIgnored && position > 0;
    positions.push_back(static_cast<int32_t>(position));
    queries.push_back(static_cast<int32_t>(position + 1));
    slots.push_back(stale ? -1 : static_cast<int32_t>(b));
    n_kv.push_back(static_cast<int32_t>(blind ? position : position + 1));
    pass.max_kv = std::max(pass.max_kv, position + 1);
  }
  scratch_->ids.upload(stream_, ids);
  scratch_->positions.upload(stream_, positions);
  scratch_->rope_positions.upload(stream_, queries);
  scratch_->slots.upload(stream_, slots);
  scratch_->n_kv.upload(stream_, n_kv);
  run_layers(pass);
  for (int64_t b = 0; b < rows; ++b) cache_->extend(b, 1, KvWriter::kDecode);
  return logits ? logits_of(rows, 0) : std::vector<float>{};
}

std::vector<int32_t> Llama::argmax_of_last_logits() {
  ArgmaxProblem p;
  p.n_rows = last_logits_rows_, p.width = weights_->config.vocab_size;
  if (p.n_rows < 1) throw_invalid("argmax: no pass has made logits yet");
  argmax(
      stream_, chosen_rung(options_, "argmax", argmax_ladder(), argmax_ladder().back()), p,
      {.logits = scratch_->logits.view().slice(0, static_cast<size_t>(p.elements())).as<const float>("argmax logits"),
       .index = scratch_->chosen.view().slice(0, static_cast<size_t>(p.n_rows)).as<int32_t>("argmax index")});
  std::vector<int32_t> chosen(static_cast<size_t>(p.n_rows));
  scratch_->chosen.download_bytes(stream_, chosen.data(), chosen.size() * sizeof(int32_t));
  for (size_t i = 0; i < chosen.size(); ++i)
    if (chosen[i] < 0)
      throw Error(ErrorKind::kDeviceFault,
                  fmt::format("logits row {}: NaN at vocabulary id {}; `greta gate` finds where "
                              "it comes from",
                              i, -1 - chosen[i]));
  return chosen;
}

std::string Llama::attention_arithmetic(bool decode_pass) const {
  return decode_pass ? decode_rung_->arithmetic : prefill_rung_->arithmetic;
}

}  // namespace greta::model
