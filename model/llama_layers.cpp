// The layers of a pass. Where the options leave the choice, what stands between two matmuls is one launch: add + norm +
// quantise, RoPE + KV store, SwiGLU + quantise. Each has the bits of the sequence it replaces; the sequence runs
// instead when a rung of one of its operators is named, when stages are watched, or when the fused rung refuses the
// shape.
#include <algorithm>

#include "kernels/add_rms_norm/add_rms_norm.hpp"
#include "kernels/embedding/embedding.hpp"
#include "kernels/kv_store/kv_store.hpp"
#include "kernels/quant_matmul/quant_matmul_group.hpp"
#include "kernels/residual_add/residual_add.hpp"
#include "kernels/rms_norm/rms_norm.hpp"
#include "kernels/rope/rope.hpp"
#include "kernels/rope_kv_store/rope_kv_store.hpp"
#include "kernels/swiglu/swiglu.hpp"
#include "kernels/swiglu_quantize/swiglu_quantize.hpp"
#include "kernels/tile/quant_blocks.hpp"
#include "model/llama_parts.hpp"

namespace greta::model {
namespace {

hip::AnyView first_rows(const hip::DeviceTensor& t, int64_t rows, int64_t width) {
  return t.view().slice(0, static_cast<size_t>(rows * width));
}

/// The block type that all the matrices read, or `otherwise` when they take activations as they are or differ.
DType blocks_for(std::initializer_list<const DeviceMatrix*> readers, DType otherwise) {
  DType blocks = otherwise;
  for (const DeviceMatrix* w : readers) {
    QuantMatmulProblem p;
    p.weights = w->dtype();
    if (!p.quantised()) return otherwise;
    if (blocks != otherwise && blocks != p.activation_blocks()) return otherwise;
    blocks = p.activation_blocks();
  }
  return blocks;
}

}  // namespace

bool Llama::fused(std::initializer_list<const char*> replaced) const {
  if (!options_.fuse || watched()) return false;
  return std::none_of(replaced.begin(), replaced.end(),
                      [&](const char* name) { return options_.rungs.contains(name); });
}

bool Llama::norms_fused() const {
  AddRmsNormProblem p;
  p.width = config().dim, p.y = p.out = options_.activations;
  return fused({"residual_add", "rms_norm"}) &&
         (options_.rungs.contains("add_rms_norm") || add_rms_norm_ladder().back().accepts(p).empty());
}

void Llama::note_pass_row(int64_t slot, int64_t position) {
  if (watched()) pass_rows_.push_back({slot, position});
}

void Llama::stage(std::string_view name, int64_t layer, int64_t rows, int64_t width, hip::AnyView data,
                  std::span<const int64_t> data_rows) {
  if (!watched()) return;
  const auto of_pass = std::span(pass_rows_).subspan(static_cast<size_t>(stage_first_row_), static_cast<size_t>(rows));
  const StageEvent event{name, layer, width, data, of_pass, data_rows};
  if (planter_) planter_->at(event, stream());
  if (sink_) sink_(event);
}

void Llama::cache_stages(int64_t layer) {
  if (!watched()) return;
  std::vector<int64_t> rows;
  for (const PassRow& row : pass_rows_) rows.push_back(row.slot * cache_->capacity() + row.position);
  const auto n = static_cast<int64_t>(rows.size());
  stage("k_cache", layer, n, config().kv_dim(), cache_->k(layer), rows);
  stage("v_cache", layer, n, config().kv_dim(), cache_->v(layer), rows);
}

hip::AnyView Llama::blocks_view(DType type, int64_t rows, int64_t width) {
  const int64_t per_row = (width + dtype_block_values(type) - 1) / dtype_block_values(type);
  return (type == DType::kQ8Act32 ? scratch_->act32 : scratch_->act256)
      .view()
      .slice(0, static_cast<size_t>(rows * per_row));
}

void Llama::add_branch(int64_t rows) {
  Scratch& s = *scratch_;
  s.branch_pending = norms_fused();
  if (s.branch_pending) return;
  ResidualAddProblem p;
  p.n_rows = rows, p.width = config().dim;
  residual_add(stream(), rung_of(options_, "residual_add", residual_add_ladder(), p), p,
               {.x = first_rows(s.residual, rows, p.width).as<float>("residual x"),
                .y = hip::DeviceView<const float>(first_rows(s.branch, rows, p.width).as<const float>("residual y"))});
}

void Llama::norm(int64_t first_row, int64_t rows, hip::AnyView weight,
                 std::initializer_list<const DeviceMatrix*> readers) {
  Scratch& s = *scratch_;
  const auto width = static_cast<size_t>(config().dim), n = static_cast<size_t>(rows) * width;
  const auto rows_of = [&](const hip::DeviceTensor& t) {
    return t.view().slice(static_cast<size_t>(first_row) * width, n);
  };
  const hip::AnyView normed = s.normed.view().slice(0, n);
  const float eps = options_.defect == Defect::kEpsWrong ? 1e-2f : static_cast<float>(config().rms_eps);

  AddRmsNormProblem p;
  p.n_rows = rows, p.width = config().dim, p.add = s.branch_pending, p.eps = eps, p.y = options_.activations;
  p.out = blocks_for(readers, p.y);
  if (p.width % dtype_block_values(p.out)) p.out = p.y;
  s.blocks_of = nullptr;
  if (norms_fused()) {
    const AddRmsNormRung& rung = rung_of(options_, "add_rms_norm", add_rms_norm_ladder(), p);
    add_rms_norm(stream(), rung, p,
                 {.x = rows_of(s.residual).as<float>("add_rms_norm x"),
                  .addend = rows_of(s.branch).as<const float>("add_rms_norm addend"),
                  .weight = weight.as<const float>("add_rms_norm weight"),
                  .out = p.quantised() ? blocks_view(p.out, rows, p.width) : normed});
    if (p.quantised()) s.blocks_of = normed.data(), s.blocks_type = p.out;
    return;
  }
  const RmsNormProblem plain = p.norm();
  rms_norm(stream(), rung_of(options_, "rms_norm", rms_norm_ladder(), plain), plain,
           {.x = rows_of(s.residual).as<const float>("rms_norm x"),
            .weight = weight.as<const float>("rms_norm weight"),
            .y = normed});
}

namespace {

QuantMatmulProblem problem_of(const DeviceMatrix& w, hip::AnyView x, hip::AnyView y, int64_t m) {
  QuantMatmulProblem p;
  p.m = m, p.n_out = w.rows, p.n_in = w.cols, p.weights = w.dtype(), p.x = x.dtype(), p.y = y.dtype();
  return p;
}

const QuantMatmulRung& matmul_rung(const EngineOptions& options, const QuantMatmulProblem& p) {
  const auto it = options.rungs.find("quant_matmul");
  if (it != options.rungs.end()) {
    // A rung made for few rows cannot serve a prefill pass and the other way round: there the default stays.
    const QuantMatmulRung& wanted = find_rung("quant_matmul", quant_matmul_ladder(), it->second);
    if (wanted.accepts(p).empty()) return wanted;
  }
  return quant_matmul_default_rung(p);
}

/// X as activation blocks, made when they are not there yet.
template <class Scratch>
hip::AnyView quantised(Scratch& s, hip::AnyView blocks, const QuantMatmulProblem& p, hip::AnyView x, hip::Stream& on) {
  if (s.blocks_of != x.data() || s.blocks_type != p.activation_blocks()) {
    quantize_activations(on, p, x, blocks);
    s.blocks_of = x.data(), s.blocks_type = p.activation_blocks();
  }
  return blocks;
}

/// Matmuls of one input that are one launch: of one weights type, on a rung that takes several matrices.
template <class Product>
struct Group {
  const QuantMatmulRung* rung;
  std::vector<Product> products;
};
template <class Product>
std::vector<Group<Product>> groups_of(const EngineOptions& options, std::initializer_list<Product> products,
                                      hip::AnyView x, int64_t m) {
  std::vector<Group<Product>> groups;
  for (const Product& product : products) {
    const QuantMatmulRung& rung = matmul_rung(options, problem_of(*product.w, x, product.y, m));
    const auto joins = [&](const Group<Product>& group) {
      const Product& first = group.products.front();
      return group.products.size() < size_t{kMatmulGroup} && group.rung == &rung &&
             first.w->dtype() == product.w->dtype() && first.w->cols == product.w->cols &&
             first.y.dtype() == product.y.dtype();
    };
    const auto found = options.fuse && quant_matmul_group_rung(rung) ? std::find_if(groups.begin(), groups.end(), joins)
                                                                     : groups.end();
    if (found == groups.end())
      groups.push_back({&rung, {product}});
    else
      found->products.push_back(product);
  }
  return groups;
}

}  // namespace

/// What no group takes in stands side by side in a recorded step's graph (a single row fills no GPU).
void Llama::matmuls(std::initializer_list<Product> products, hip::AnyView x, int64_t m) {
  const auto groups = groups_of(options_, products, x, m);
  // Side by side only when the input is ready in the form that all of them read: none may quantise it on the way.
  bool ready = recording_ && groups.size() <= std::size(side_streams_) + 1;
  for (const Product& p : products) {
    const DType blocks = blocks_for({p.w}, DType::kF32);
    ready = ready && (blocks == DType::kF32 || (scratch_->blocks_of == x.data() && scratch_->blocks_type == blocks));
  }
  const auto launch = [&](const Group<Product>& group, hip::Stream& on) {
    const std::vector<Product>& all = group.products;
    if (all.size() == 1) return matmul(*all[0].w, x, all[0].y, m, on);
    QuantMatmulGroupProblem p;
    const QuantMatmulProblem first = problem_of(*all[0].w, x, all[0].y, m);
    p.m = m, p.n_in = first.n_in, p.weights = first.weights, p.x = first.x, p.y = first.y;
    p.n_out = first.n_out, p.n_out_1 = all[1].w->rows, p.n_out_2 = all.size() > 2 ? all[2].w->rows : 0;
    QuantMatmulGroupArgs args;
    args.x =
        first.quantised() ? quantised(*scratch_, blocks_view(first.activation_blocks(), m, p.n_in), first, x, on) : x;
    for (size_t i = 0; i < all.size(); ++i) args.weights[i] = all[i].w->data.view(), args.y[i] = all[i].y;
    quant_matmul_group(on, *quant_matmul_group_rung(*group.rung), p, args);
  };
  size_t side = 0;
  for (size_t i = 1; i < groups.size() && ready; ++i) {
    hip::start_after(side_streams_[side], stream());
    launch(groups[i], side_streams_[side++]);
  }
  for (size_t i = 0; i < (ready ? 1 : groups.size()); ++i) launch(groups[i], stream());
  for (size_t i = 0; i < side; ++i) hip::start_after(stream(), side_streams_[i]);
}

void Llama::matmul(const DeviceMatrix& w, hip::AnyView x, hip::AnyView y, int64_t m, hip::Stream& on) {
  const QuantMatmulProblem p = problem_of(w, x, y, m);
  const hip::AnyView input =
      p.quantised() ? quantised(*scratch_, blocks_view(p.activation_blocks(), m, p.n_in), p, x, on) : x;
  quant_matmul(on, matmul_rung(options_, p), p, {.weights = w.data.view(), .x = input, .y = y});
}

void Llama::rotate_and_store(Pass& pass, int64_t layer) {
  const LlamaConfig& c = config();
  Scratch& s = *scratch_;
  const int64_t rows = pass.rows, q_width = c.n_heads * c.head_dim, kv_width = c.n_kv_heads * c.head_dim;
  const hip::AnyView q = first_rows(s.q, rows, q_width), k = first_rows(s.k, rows, kv_width),
                     v = first_rows(s.v, rows, kv_width);
  const auto table = s.rope_table.view().as<const float>("rope table");
  const auto positions = s.input(Scratch::kPositions, rows), slots = s.input(Scratch::kSlots, rows);

  RopeKvStoreProblem all;
  all.n_tokens = rows, all.n_heads = c.n_heads, all.n_kv_heads = c.n_kv_heads, all.head_dim = c.head_dim;
  all.half_split = options_.defect == Defect::kRopePairsSwapped ? 1 : 0, all.n_positions = s.rope_rows;
  all.n_slots = cache_->n_slots(), all.kv_capacity = cache_->capacity(), all.dtype = options_.kv;
  const auto ladder = rope_kv_store_ladder();
  // The defect turns queries by other positions than keys, which the fused kernel cannot do.
  if (fused({"rope", "kv_store"}) && options_.defect != Defect::kPositionOffByOne &&
      (options_.rungs.contains("rope_kv_store") || ladder.back().accepts(all).empty()))
    return rope_kv_store(stream(), rung_of(options_, "rope_kv_store", ladder, all), all,
                         {.q = q,
                          .k = k,
                          .v = v,
                          .k_cache = cache_->k(layer),
                          .v_cache = cache_->v(layer),
                          .slots = slots,
                          .positions = positions,
                          .table = table});

  const auto rotate = [&](hip::AnyView x, int64_t heads, hip::DeviceView<const int32_t> at) {
    const RopeProblem p = all.rotation(heads);
    rope(stream(), rung_of(options_, "rope", rope_ladder(), p), p, {.x = x, .positions = at, .table = table});
  };
  const bool late = options_.defect == Defect::kPositionOffByOne;
  rotate(q, c.n_heads, s.input(late ? Scratch::kRopePositions : Scratch::kPositions, rows));
  rotate(k, c.n_kv_heads, positions);
  stage("q_post_rope", layer, rows, q_width, q);
  stage("k_post_rope", layer, rows, kv_width, k);
  const KvStoreProblem store = all.store();
  kv_store(stream(), rung_of(options_, "kv_store", kv_store_ladder(), store), store,
           {.k = k,
            .v = v,
            .k_cache = cache_->k(layer),
            .v_cache = cache_->v(layer),
            .slots = slots,
            .positions = positions});
}

void Llama::feed_forward(Pass& pass, int64_t layer) {
  const LlamaConfig& c = config();
  const LayerWeights& w = weights_->layers[static_cast<size_t>(layer)];
  Scratch& s = *scratch_;
  const int64_t rows = pass.rows;
  const hip::AnyView normed = first_rows(s.normed, rows, c.dim), branch = first_rows(s.branch, rows, c.dim);
  const hip::AnyView gate = first_rows(s.gate, rows, c.ffn_dim), up = first_rows(s.up, rows, c.ffn_dim),
                     hidden = first_rows(s.hidden, rows, c.ffn_dim);
  matmuls({{&w.gate, gate}, {&w.up, up}}, normed, rows);

  SwigluQuantizeProblem p;
  p.n_rows = rows, p.width = c.ffn_dim, p.dtype = options_.activations;
  p.out = blocks_for({&w.down}, p.dtype);
  s.blocks_of = nullptr;
  if (p.out != p.dtype && p.width % dtype_block_values(p.out) == 0 && fused({"swiglu"})) {
    swiglu_quantize(stream(), rung_of(options_, "swiglu_quantize", swiglu_quantize_ladder(), p), p,
                    {.gate = gate, .up = up, .blocks = blocks_view(p.out, rows, p.width), .exp = options_.exp});
    s.blocks_of = hidden.data(), s.blocks_type = p.out;
  } else {
    const SwigluProblem plain = p.product();
    swiglu(stream(), rung_of(options_, "swiglu", swiglu_ladder(), plain), plain,
           {.gate = gate, .up = up, .y = hidden, .exp = options_.exp});
    stage("gate_up", layer, rows, c.ffn_dim, hidden);
  }
  matmul(w.down, hidden, branch, rows, stream());
}

void Llama::attention(Pass& pass, int64_t layer) {
  const LlamaConfig& c = weights_->config;
  Scratch& s = *scratch_;
  const Defect defect = options_.defect;
  const float scale = defect == Defect::kScaleOmitted ? 1.0f : 0.0f;
  const int64_t head_map = defect == Defect::kWrongGqaMap ? 1 : 0;
  const int64_t v_layer = defect == Defect::kVOfLayerBefore ? std::max<int64_t>(layer - 1, 0) : layer;
  const size_t q_elements = static_cast<size_t>(pass.rows * c.n_heads * c.head_dim);
  const auto workspace_of = [&](size_t floats) -> hip::DeviceView<float> {
    if (s.attention_workspace.count() < floats) {
      s.attention_workspace = hip::DeviceTensor("attention.workspace", DType::kF32, floats + floats / 2);
      s.steps.clear();  // recorded steps know the old one
    }
    return floats ? s.attention_workspace.view().as<float>("workspace") : hip::DeviceView<float>{};
  };
  if (!pass.decode) {
    PrefillAttentionProblem p;
    p.batch = 1, p.n_tokens = pass.rows, p.n_kv = pass.start + pass.rows, p.n_heads = c.n_heads;
    p.n_kv_heads = c.n_kv_heads, p.head_dim = c.head_dim, p.kv_capacity = cache_->capacity();
    p.head_map = head_map, p.dtype = options_.kv;
    PrefillAttentionArgs args;
    args.q = s.q.view().slice(0, q_elements), args.o = s.attn_out.view().slice(0, q_elements);
    args.k = cache_->k(layer, pass.slot), args.v = cache_->v(v_layer, pass.slot);
    args.scale = scale, args.exp = options_.exp, args.workspace = workspace_of(prefill_attention_workspace(p));
    prefill_attention(stream(), *prefill_rung_, p, args);
    return;
  }
  DecodeAttentionProblem p;
  p.batch = pass.rows, p.n_kv = pass.max_kv, p.n_heads = c.n_heads, p.n_kv_heads = c.n_kv_heads;
  p.head_dim = c.head_dim, p.kv_capacity = cache_->capacity(), p.head_map = head_map, p.dtype = options_.kv;
  const size_t kv_elements = static_cast<size_t>(p.kv_elements());
  DecodeAttentionArgs args;
  args.q = s.q.view().slice(0, q_elements), args.o = s.attn_out.view().slice(0, q_elements);
  args.k = cache_->k(layer).slice(0, kv_elements), args.v = cache_->v(v_layer).slice(0, kv_elements);
  args.n_kv_of = s.input(Scratch::kNKv, pass.rows);
  args.workspace = workspace_of(decode_attention_workspace(p));
  args.scale = scale, args.exp = options_.exp;
  decode_attention(stream(), decode_rung_ ? *decode_rung_ : decode_attention_rung_for(decode_arithmetic_, p), p, args);
}

void Llama::run_layers(Pass& pass) {
  const LlamaConfig& c = config();
  Scratch& s = *scratch_;
  const int64_t rows = pass.rows;
  const int64_t q_width = c.n_heads * c.head_dim, kv_width = c.n_kv_heads * c.head_dim;
  const hip::AnyView residual = first_rows(s.residual, rows, c.dim), normed = first_rows(s.normed, rows, c.dim);
  const hip::AnyView branch = first_rows(s.branch, rows, c.dim), o = first_rows(s.attn_out, rows, q_width);
  const hip::AnyView q = first_rows(s.q, rows, q_width), k = first_rows(s.k, rows, kv_width),
                     v = first_rows(s.v, rows, kv_width);

  EmbeddingProblem embed;
  embed.n_tokens = rows, embed.n_vocab = c.vocab_size, embed.width = c.dim;
  embed.weights = weights_->token_embd.dtype();
  embedding(stream(), rung_of(options_, "embedding", embedding_ladder(), embed), embed,
            {.table = weights_->token_embd.data.view(),
             .ids = s.input(Scratch::kIds, rows),
             .y = residual.as<float>("embedding y")});
  stage("embed_out", -1, rows, c.dim, residual);
  s.branch_pending = false;

  for (int64_t layer = 0; layer < c.n_layers; ++layer) {
    const LayerWeights& w = weights_->layers[static_cast<size_t>(layer)];
    stage("residual_pre_attn", layer, rows, c.dim, residual);
    norm(0, rows, w.attn_norm.view(), {&w.wq, &w.wk, &w.wv});
    stage("attn_in", layer, rows, c.dim, normed);
    matmuls({{&w.wq, q}, {&w.wk, k}, {&w.wv, v}}, normed, rows);
    stage("q_pre_rope", layer, rows, q_width, q);
    stage("k_pre_rope", layer, rows, kv_width, k);
    stage("v", layer, rows, kv_width, v);
    rotate_and_store(pass, layer);
    cache_stages(layer);
    attention(pass, layer);
    s.blocks_of = nullptr;
    stage("attn_out", layer, rows, q_width, o);
    matmul(w.wo, o, branch, rows, stream());
    stage("wo_out", layer, rows, c.dim, branch);
    s.branch_pending = false;
    if (options_.defect != Defect::kResidualSkipped || layer + 1 != c.n_layers) add_branch(rows);
    stage("residual_post_attn", layer, rows, c.dim, residual);

    norm(0, rows, w.ffn_norm.view(), {&w.gate, &w.up});
    stage("ffn_norm_in", layer, rows, c.dim, normed);
    feed_forward(pass, layer);
    stage("mlp_out", layer, rows, c.dim, branch);
    add_branch(rows);
    stage("residual_post_mlp", layer, rows, c.dim, residual);
  }
}

}  // namespace greta::model
