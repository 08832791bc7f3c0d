#include "runners/model_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>

#include "kernels/hip/graph.hpp"
#include "model/make.hpp"

namespace greta::runners {
namespace {

constexpr int64_t kFillChunk = 4096;  ///< tokens of a pass that fills the cache
constexpr uint64_t kShapeSeed = 1;    ///< of the synthetic model

/// A file in the temporary folder that goes away with the scope.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view name)
      : path_(std::filesystem::temp_directory_path() / fmt::format("greta_bench_{}_{}.gguf", name, ::getpid())) {}
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// The engine that all cases share, and ids to feed it: a pseudo-random text that is the same for every case.
class Engine {
 public:
  explicit Engine(const ModelBench& bench) {
    model::EngineOptions options = bench.engine;
    int64_t longest = 0;
    for (const int64_t n : bench.prompts) longest = std::max(longest, n);
    for (const int64_t n : bench.cached) longest = std::max(longest, n);
    options.context = longest + 1;
    if (!bench.model.empty()) {
      load(bench.model, options);
      return;
    }
    const TemporaryFile file(bench.shape);
    model::LlamaConfig shape = model::shape_preset(bench.shape);
    shape.context_length = std::max(shape.context_length, options.context);
    model::make_model(file.path(), shape, model::weight_mix_from_name("q4_k_m"), kShapeSeed);
    load(file.path(), options);
  }

  model::Llama& llama() { return *llama_; }
  std::span<const int32_t> ids(int64_t from, int64_t n) const {
    return std::span(ids_).subspan(static_cast<size_t>(from), static_cast<size_t>(n));
  }
  /// Slot 0 holds exactly n positions.
  void fill(int64_t n) {
    model::KvCache& cache = llama_->cache();
    cache.truncate(0, std::min(n, cache.length(0)));
    while (cache.length(0) < n) {
      const int64_t at = cache.length(0), rows = std::min(kFillChunk, n - at);
      llama_->prefill(0, ids(at, rows), rows);
    }
  }
  double weight_bytes() const { return weight_bytes_; }
  /// Keys and values of n positions, all layers.
  double kv_bytes(int64_t n) {
    return static_cast<double>(llama_->cache().bytes()) * static_cast<double>(n) /
           static_cast<double>(llama_->cache().capacity());
  }

 private:
  void load(const std::string& path, const model::EngineOptions& options) {
    const auto file = model::GgufFile::open(path);
    hip::Stream upload("upload");
    const auto weights = model::load_weights(file, upload);
    // The embedding table is not streamed, but for a row a token; when it serves as output too, it is.
    weight_bytes_ = static_cast<double>(weights->device_bytes);
    if (weights->output.rows) weight_bytes_ -= static_cast<double>(weights->token_embd.data.bytes());
    if (options.context > weights->config.context_length)
      throw_invalid(fmt::format("bench: {} positions wanted, {} was made for {}; give shorter --prompts and --cached",
                                options.context, path, weights->config.context_length));
    llama_ = std::make_unique<model::Llama>(weights, options);
    std::mt19937_64 random(99);
    for (int64_t i = 0; i < options.context; ++i)
      ids_.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(weights->config.vocab_size)));
  }
  std::unique_ptr<model::Llama> llama_;
  std::vector<int32_t> ids_;
  double weight_bytes_ = 0;
};

/// Made for the first case that runs, kept for the others.
class SharedEngine {
 public:
  explicit SharedEngine(ModelBench bench) : bench_(std::move(bench)) {}
  Engine& get() {
    if (!engine_) engine_ = std::make_unique<Engine>(bench_);
    return *engine_;
  }

 private:
  ModelBench bench_;
  std::unique_ptr<Engine> engine_;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}
int32_t largest(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}
std::string not_a_number(const std::vector<float>& logits) {
  return std::all_of(logits.begin(), logits.end(), [](float v) { return std::isfinite(v); }) ? "" : "logits hold a NaN";
}

class ModelWorkload : public bench::Workload {
 public:
  explicit ModelWorkload(Engine& engine) : engine_(engine) {}
  int64_t slots() const override { return 1; }
  double footprint() const override { return engine_.weight_bytes(); }
  void launch(hip::Stream& stream, int64_t) final {
    engine_.llama().use_stream(&stream);  // the driver's events are on it; it does not live as long as the engine
    chosen_ = once();                     // waits: the choice comes back to the host
    engine_.llama().use_stream(nullptr);
  }

 protected:
  virtual int32_t once() = 0;
  Engine& engine_;
  int32_t chosen_ = -1;
};

class Prefill final : public ModelWorkload {
 public:
  Prefill(Engine& engine, int64_t n) : ModelWorkload(engine), n_(n) {}
  double bytes() const override { return engine_.weight_bytes() + engine_.kv_bytes(n_); }
  int32_t once() override {
    engine_.llama().cache().truncate(0, 0);
    return engine_.llama().prefill_argmax(0, engine_.ids(0, n_));
  }
  std::string check(hip::Stream&, std::span<const int64_t>) override {
    engine_.fill(0);
    const auto whole = engine_.llama().prefill(0, engine_.ids(0, n_), n_ - 1);
    if (const auto wrong = not_a_number(whole); !wrong.empty()) return wrong;
    if (largest(whole) != chosen_) return fmt::format("chose token {}, not {}", chosen_, largest(whole));
    if (n_ == 1) return {};
    engine_.llama().cache().truncate(0, 0);
    engine_.llama().prefill(0, engine_.ids(0, n_ - 1), n_ - 1);
    return same_bits(engine_.llama().decode(engine_.ids(n_ - 1, 1)), whole)
               ? ""
               : "the last token fed as a decode step gives other logits";
  }

 private:
  int64_t n_;
};

class Decode final : public ModelWorkload {
 public:
  Decode(Engine& engine, int64_t n, bool graph) : ModelWorkload(engine), n_(n), graph_(graph) { engine_.fill(n_); }
  double bytes() const override { return engine_.weight_bytes() + engine_.kv_bytes(n_ + 1); }
  int32_t once() override {
    engine_.llama().record_steps(graph_);
    engine_.llama().cache().truncate(0, n_);
    return engine_.llama().decode_argmax(engine_.ids(n_, 1)).front();
  }
  std::string check(hip::Stream&, std::span<const int64_t>) override {
    std::vector<float> logits[2];
    for (const bool graph : {true, false}) {
      engine_.llama().record_steps(graph);
      for (int again = 0; again < 3; ++again) {  // eager, recorded, replayed
        engine_.llama().cache().truncate(0, n_);
        logits[graph] = engine_.llama().decode(engine_.ids(n_, 1));
      }
    }
    if (const auto wrong = not_a_number(logits[0]); !wrong.empty()) return wrong;
    if (!same_bits(logits[0], logits[1])) return "replayed and eager steps have other logits";
    return largest(logits[0]) == chosen_ ? "" : fmt::format("chose token {}, not {}", chosen_, largest(logits[0]));
  }

 private:
  int64_t n_;
  bool graph_;
};

}  // namespace

void add_model_cases(std::vector<bench::BenchCase>& to, const ModelBench& bench) {
  const std::string name = bench.model.empty() ? bench.shape + ".q4_k_m" : bench.model;
  const auto add = [&](const char* op, const char* rung, bool first, int64_t n, int64_t tokens, auto make) {
    bench::BenchCase c;
    c.op = op, c.rung = rung, c.arithmetic = "model", c.row = std::to_string(n), c.first_rung = first;
    c.problem = fmt::format("model={} tokens={} cached={}", name, tokens, tokens == n ? 0 : n);
    c.tokens = static_cast<double>(tokens);
    c.make = make;
    to.push_back(std::move(c));
  };
  const auto engine = std::make_shared<SharedEngine>(bench);
  for (const int64_t n : bench.prompts)
    add("model_prefill", "whole", true, n, n,
        [engine, n](const bench::Options&) { return std::make_unique<Prefill>(engine->get(), n); });
  for (const int64_t n : bench.cached)
    for (const bool graph : {false, true}) {
      if (graph && !hip::Graph::supported()) continue;
      add("model_decode", graph ? "graph" : "eager", !graph, n, 1,
          [engine, n, graph](const bench::Options&) { return std::make_unique<Decode>(engine->get(), n, graph); });
    }
}

}  // namespace greta::runners
