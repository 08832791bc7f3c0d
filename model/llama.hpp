// The model on kernels: a Llama forward pass composed only of ladder kernels.
//
// Two kinds of pass. prefill(): many tokens of one sequence, prefill attention, M = tokens. decode(): one token of each
// of N sequences, decode attention, M = N. Every row goes through the same arithmetic in both (one arithmetic id an
// operator), so the logits of a token do not depend on how it got there; the gate holds the engine to that in bits.
//
// Where a layer allows it, what stands between two matmuls is one launch (fused operators, each with the bits of the
// sequence it replaces). Decode steps are recorded and replayed where the platform has graphs: positions, slots and
// lengths lie in device memory, so a replay has the bits of an eager step.
//
// Data types: residual stream f32; Q, K, V, attention output and the KV cache options.kv; other activations
// options.activations; quantised weights see 8-bit activation blocks (kernels/tile/quant_blocks.hpp); logits f32.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/decode_attention/decode_attention.hpp"
#include "kernels/prefill_attention/prefill_attention.hpp"
#include "kernels/quant_matmul/quant_matmul.hpp"
#include "model/defects.hpp"
#include "model/kv_cache.hpp"
#include "model/planting.hpp"
#include "model/weights.hpp"

namespace greta::model {

struct EngineOptions {
  DType kv = DType::kF16;           ///< f16 or bf16
  DType activations = DType::kF16;  ///< f16, bf16 or f32
  ExpMode exp = ExpMode::kPortable;
  std::map<std::string, std::string> rungs;  ///< operator name -> rung name; what is absent takes the default
  int64_t slots = 1;                         ///< sequences the KV cache holds
  int64_t context = 0;                       ///< positions per sequence; 0: the model's context length
  Defect defect = Defect::kNone;
  std::optional<Planting> planting;  ///< a mistake at one stage, for tests of what must find it
  bool fuse = true;  ///< false: every operator its own launch. A rung named for an operator that a fusion replaces has
                     ///< the same effect on that fusion
  bool graphs = true;  ///< record decode steps and replay them where hip::Graph::supported()
};

class Llama {
 public:
  /// Throws kInvalidArgument for options the kernels do not accept, with the kernel's reason.
  Llama(std::shared_ptr<const Weights> weights, EngineOptions options);
  ~Llama();

  const LlamaConfig& config() const { return weights_->config; }
  const EngineOptions& options() const { return options_; }
  KvCache& cache() { return *cache_; }
  hip::Stream& stream() { return *stream_; }
  /// Work from now on goes to that stream (null: the engine's own again), which must live until it is replaced. Waits
  /// for what was given to the stream before.
  void use_stream(hip::Stream* stream);
  /// Whether decode steps are recorded and replayed from now on (options().graphs).
  void record_steps(bool on) { options_.graphs = on; }

  /// Feeds ids to the slot, after what it holds already. Returns logits [n - logits_from, vocab] of the rows from
  /// logits_from on; logits_from = n makes none.
  std::vector<float> prefill(int64_t slot, std::span<const int32_t> ids, int64_t logits_from);
  /// Feeds ids[b] to slot b for every b in [0, ids.size()). Returns logits [ids.size(), vocab].
  std::vector<float> decode(std::span<const int32_t> ids, bool logits = true);
  /// As prefill() and decode(), but the greedy choice alone comes back: of the last row, and of every row.
  int32_t prefill_argmax(int64_t slot, std::span<const int32_t> ids);
  std::vector<int32_t> decode_argmax(std::span<const int32_t> ids);
  /// Greedy choice for each row of the last pass that made logits; throws kDeviceFault when a row holds a NaN.
  std::vector<int32_t> argmax_of_last_logits();
  /// The logits themselves of the last pass that made any, [rows, vocab]: what a readback costs can be measured alone.
  std::vector<float> last_logits();

  /// Called at every stage (model/stages.hpp) from now on. Watched passes run without fusions and recorded steps: same
  /// bits, and every stage exists.
  void set_stage_sink(StageSink sink) { sink_ = std::move(sink); }
  /// Rows changed by options().planting so far.
  int64_t planted() const { return planter_ ? planter_->planted() : 0; }
  /// Arithmetic id of the attention rung that passes of that kind use.
  std::string attention_arithmetic(bool decode_pass) const;
  /// KV rows of earlier positions that passes over the slot have read, by who wrote them: {nobody, prefill, decode,
  /// aligned}.
  const std::vector<int64_t>& kv_rows_read(int64_t slot) const { return kv_rows_read_[static_cast<size_t>(slot)]; }

 private:
  struct Scratch;
  struct Pass;
  struct StepKey;
  struct Step;
  struct StepInputs {
    std::vector<int32_t> positions, rope_positions, slots, n_kv;  ///< of each row
  };
  void run_layers(Pass& pass);
  void attention(Pass& pass, int64_t layer);
  void rotate_and_store(Pass& pass, int64_t layer);
  void feed_forward(Pass& pass, int64_t layer);
  /// normed, or its activation blocks, from rows [first_row, +rows) of the residual stream; adds a pending branch
  /// first.
  void norm(int64_t first_row, int64_t rows, hip::AnyView weight, std::initializer_list<const DeviceMatrix*> readers);
  void add_branch(int64_t rows);
  void matmul(const DeviceMatrix& w, hip::AnyView x, hip::AnyView y, int64_t m, hip::Stream& on);
  /// Matmuls of one input. In a recorded step they stand side by side in the graph: a single row fills no GPU.
  struct Product {
    const DeviceMatrix* w;
    hip::AnyView y;
  };
  void matmuls(std::initializer_list<Product> products, hip::AnyView x, int64_t m);
  hip::AnyView blocks_view(DType type, int64_t rows, int64_t width);
  /// Whether a fusion that replaces these operators may run.
  bool fused(std::initializer_list<const char*> replaced) const;
  bool norms_fused() const;
  void enqueue_prefill(int64_t slot, std::span<const int32_t> ids);
  void enqueue_decode(std::span<const int32_t> ids, bool logits, bool argmax);
  void enqueue_logits(int64_t first_row, int64_t rows);
  void enqueue_argmax();
  void run_step(Pass& pass, StepKey key);
  void upload_inputs(std::span<const int32_t> ids, const StepInputs& in);
  void download_logits(int64_t rows, float* to);
  std::vector<int32_t> download_argmax();
  std::vector<float> logits_of(int64_t rows, int64_t first_row);
  void prepare(int64_t rows);
  void note_kv_reads(int64_t slot, int64_t positions);
  bool watched() const { return sink_ || planter_; }
  void stage(std::string_view name, int64_t layer, int64_t rows, int64_t width, hip::AnyView data,
             std::span<const int64_t> data_rows = {});
  void cache_stages(int64_t layer);
  void note_pass_row(int64_t slot, int64_t position);

  std::shared_ptr<const Weights> weights_;
  EngineOptions options_;
  hip::Stream own_stream_;
  hip::Stream* stream_ = &own_stream_;
  hip::Stream side_streams_[2];  ///< of recorded steps
  bool recording_ = false;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Scratch> scratch_;
  const PrefillAttentionRung* prefill_rung_;
  const char* decode_arithmetic_;
  const DecodeAttentionRung* decode_rung_ = nullptr;  ///< null: the one for each step's problem
  StageSink sink_;
  std::unique_ptr<Planter> planter_;
  std::vector<PassRow> pass_rows_;  ///< while watched: of the pass at hand
  int64_t stage_first_row_ = 0;     ///< row of the pass that row 0 of a stage's data belongs to
  std::vector<std::vector<int64_t>> kv_rows_read_;
  int64_t last_logits_rows_ = 0;
};

}  // namespace greta::model
