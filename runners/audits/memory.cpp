// greta audit memory: how much device memory each phase of a run takes at most, against what the model's shape says it
// must take, said before anything is allocated; and whether all of it comes back.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "kernels/hip/graph.hpp"
#include "kernels/hip/memory_phase.hpp"
#include "model/llama.hpp"
#include "runners/audits/audits.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

using results::Verdict;

struct Flags {
  AuditModelFlags model;
  int64_t slots = 2, context = 0, cycles = 3;
  std::string plant;
};

constexpr const char* kPlants[] = {"leak", "hidden-buffer", "blind-prediction"};

/// A phase may take this much more or less than predicted: rounding of workspaces, small tables.
constexpr double kTolerance = 0.01;
constexpr size_t kSmall = 4096;

/// Bytes of live allocations at the end of each phase, as the model's shape has it.
struct Prediction {
  size_t weights = 0, engine = 0, prefill = 0, decode = 0;
  size_t total() const { return weights + engine + prefill + decode; }
};

class Audit {
 public:
  Audit(const Flags& f, const CommonFlags& flags) : f_(f), flags_(flags), subject_(audit_subject(f.model, flags)) {
    options_ = subject_.options;
    options_.slots = f.slots;
    options_.context = f.context ? f.context : subject_.config.context_length;
    if (static_cast<int64_t>(subject_.ids.size()) + 2 > options_.context)
      throw_invalid(fmt::format("audit memory: {} tokens and two steps do not fit a context of {}", subject_.ids.size(),
                                options_.context));
  }

  int run() {
    predict();
    const size_t have = hip::device_info().memory_bytes;
    fmt::print("predicted: weights {}, engine {}, passes {}; {} of the device's {} bytes\n", predicted_.weights,
               predicted_.engine, predicted_.prefill + predicted_.decode, predicted_.total(), have);
    if (predicted_.total() > have)
      throw Error(
          ErrorKind::kOutOfMemory,
          fmt::format("audit memory: {} bytes are needed and the device has {}: weights {}, KV cache and tables "
                      "{}, activations {}; fewer --slots or a shorter --context would do",
                      predicted_.total(), have, predicted_.weights, predicted_.engine, predicted_.prefill));
    if (options_.slots > static_cast<int64_t>(subject_.ids.size()))
      throw_invalid(fmt::format("--slots {}: wants an input of as many tokens at least, got {}", options_.slots,
                                subject_.ids.size()));
    AuditRecords records(flags_, "memory",
                         fmt::format("model={} tokens={} slots={} context={}", f_.model.model, subject_.ids.size(),
                                     options_.slots, options_.context),
                         6);
    base_ = hip::allocated_bytes();
    std::shared_ptr<const model::Weights> weights;
    std::unique_ptr<model::Llama> engine;
    phase(records, "weights", predicted_.weights, [&] {
      hip::Stream stream("upload");
      weights = model::load_weights(subject_.file, stream);
    });
    phase(records, "engine: KV cache and tables", predicted_.engine,
          [&] { engine = std::make_unique<model::Llama>(weights, options_); });
    phase(records, "prefill", predicted_.prefill, [&] { prefill(*engine); });
    phase(records, "decode", predicted_.decode, [&] { decode(*engine); });
    engine.reset();
    records.run(fmt::format("{} cycles of an engine leave nothing behind", f_.cycles), [&](results::Record& r) {
      const size_t before = hip::allocated_bytes();
      for (int64_t i = 0; i < f_.cycles; ++i) {
        model::Llama again(weights, options_);
        prefill(again);
        decode(again);
      }
      left_behind(r, before, "after the cycles");
    });
    weights.reset();
    records.run("everything comes back", [&](results::Record& r) { left_behind(r, base_, "at the end"); });
    return records.exit_code();
  }

 private:
  /// From the file's shapes and the engine's options, not from what was allocated.
  void predict() {
    const model::LlamaConfig& c = subject_.config;
    for (const auto& t : subject_.file.tensors()) {
      const bool vector = t.n_values() == t.row_length();  // norms are held in f32
      if (t.name == "output.weight" && c.tied_output) continue;
      if (t.name.find("rope_freqs") != std::string::npos) continue;  // goes into the rotation table
      predicted_.weights += vector ? static_cast<size_t>(t.n_values()) * 4 : t.data.size();
    }
    const auto u = [](int64_t v) { return static_cast<size_t>(v); };
    const size_t kv = 2;  // bytes of f16 and bf16
    predicted_.engine = 2 * u(c.n_layers) * u(options_.slots) * u(options_.context) * u(c.n_kv_heads * c.head_dim) * kv;
    predicted_.engine += u(options_.context + 1) * u(c.head_dim) * 4;  // a sine and a cosine for each pair
    const size_t q = u(c.n_heads * c.head_dim), k = u(c.n_kv_heads * c.head_dim), n = subject_.ids.size();
    const size_t act = u(dtype_block_bytes(options_.activations));
    const size_t widest = std::max({u(c.dim), q, u(c.ffn_dim)});
    const auto blocks = [&](DType type) {
      const size_t values = u(dtype_block_values(type));
      return (widest + values - 1) / values * u(dtype_block_bytes(type));
    };
    size_t row = 2 * 4 * u(c.dim);               // residual stream, branch
    row += act * (u(c.dim) + 3 * u(c.ffn_dim));  // normed, gate, up, hidden
    row += kv * (2 * q + 2 * k);                 // q, attention output, k, v
    row += blocks(DType::kQ8Act256) + blocks(DType::kQ8Act32) + 5 * 4;
    constexpr size_t kLogitsRows = 64;  // logits are made by that many rows at most
    predicted_.prefill = n * row + std::min(n, kLogitsRows) * (u(c.vocab_size) * 4 + 4);
    const auto workspace = [](size_t floats) { return (floats + floats / 2) * 4; };
    PrefillAttentionProblem p;
    p.batch = 1, p.n_tokens = p.n_kv = static_cast<int64_t>(n), p.n_heads = c.n_heads, p.n_kv_heads = c.n_kv_heads;
    p.head_dim = c.head_dim, p.kv_capacity = options_.context, p.dtype = options_.kv;
    const size_t prefill_floats = prefill_attention_workspace(p);
    predicted_.prefill += workspace(prefill_floats);
    DecodeAttentionProblem d;
    // Recorded steps round the keys up to whole splits of 512.
    const int64_t keys = static_cast<int64_t>(n) + 1, whole = (keys + 511) / 512 * 512;
    d.batch = options_.slots, d.n_kv = std::min(options_.context, hip::Graph::supported() ? whole : keys);
    d.n_heads = c.n_heads, d.n_kv_heads = c.n_kv_heads, d.head_dim = c.head_dim, d.kv_capacity = options_.context;
    d.dtype = options_.kv;
    // A workspace that is too short is replaced, and both are held for a moment.
    const size_t decode_floats = decode_attention_workspace(d);
    if (decode_floats * 4 > workspace(prefill_floats)) predicted_.decode = workspace(decode_floats);
    if (f_.plant == "blind-prediction") predicted_.engine /= 2;
  }

  void phase(AuditRecords& records, const std::string& name, size_t predicted, const std::function<void()>& work) {
    records.run(name, [&](results::Record& r) {
      const size_t before = hip::allocated_bytes();
      hip::begin_memory_phase();
      work();
      if (f_.plant == "hidden-buffer" && name == "prefill")
        kept_.emplace_back("hidden", predicted / 16 / sizeof(float) + kSmall);
      const size_t most = hip::phase_high_water() - before,
                   allowed = static_cast<size_t>(kTolerance * static_cast<double>(predicted)) + kSmall;
      r.measured = {{"predicted_bytes", predicted},
                    {"high_water_bytes", most},
                    {"held_after_bytes", hip::allocated_bytes()},
                    {"allowed_error_bytes", allowed}};
      const size_t error = most > predicted ? most - predicted : predicted - most;
      if (error <= allowed)
        r.outcome = {Verdict::kPass, ""};
      else
        r.outcome = {Verdict::kFail,
                     fmt::format("{} bytes at most, {} were predicted: {} {} than the {} allowed", most, predicted,
                                 error, most > predicted ? "too many, more" : "too few, more", allowed)};
      fmt::print("  {:<30} predicted {:>12}  high water {:>12}\n", name, predicted, most);
    });
  }

  void prefill(model::Llama& engine) {
    for (int64_t slot = 0; slot < options_.slots; ++slot)
      (void)engine.prefill(slot, subject_.ids, static_cast<int64_t>(subject_.ids.size()) - 1);
  }
  void decode(model::Llama& engine) {
    const std::vector<int32_t> ids(static_cast<size_t>(options_.slots), subject_.ids.front());
    for (int i = 0; i < 2; ++i) (void)engine.decode(ids);
    if (f_.plant == "leak") kept_.emplace_back("planted.leak", 1000);
  }

  void left_behind(results::Record& r, size_t wanted, const char* when) const {
    const size_t now = hip::allocated_bytes();
    r.measured = {{"bytes_before", wanted}, {"bytes_after", now}};
    if (now == wanted) {
      r.outcome = {Verdict::kPass, ""};
      return;
    }
    std::string names;
    size_t shown = 0;
    const auto live = hip::live_allocations();
    if (!live.empty()) r.measured["named"] = fmt::format("buffer '{}'", live.back().name);
    for (auto a = live.rbegin(); a != live.rend() && shown < 4; ++a, ++shown)
      names += fmt::format("{}'{}' ({} bytes)", shown ? ", " : "", a->name, a->bytes);
    r.outcome = {Verdict::kFail,
                 fmt::format("{} bytes {} where there were {}; the last that live: {}", now, when, wanted, names)};
  }

  const Flags& f_;
  const CommonFlags& flags_;
  AuditSubject subject_;
  model::EngineOptions options_;
  Prediction predicted_;
  size_t base_ = 0;
  std::vector<hip::DeviceBuffer<float>> kept_;
};

}  // namespace

void register_audit_memory(Command audit, CommonFlags& flags) {
  auto f = std::make_shared<Flags>();
  const Command verb = audit.subcommand("memory", "device memory of each phase against a prediction made before it");
  f->model.add(verb);
  verb.option("--slots", f->slots, "sequences the KV cache holds").range(1, 1 << 20).show_default();
  verb.option("--context", f->context, "positions of a sequence (0: the model's)").not_negative();
  verb.option("--cycles", f->cycles, "engines made and dropped").range(1, 1000).show_default();
  verb.option("--plant", f->plant, "plant a mistake, which must turn the audit red").one_of(kPlants);
  verb.callback([f, &flags] { flags.exit_code = Audit(*f, flags).run(); });
}

}  // namespace greta::runners
