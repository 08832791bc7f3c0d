#include "runners/audits/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/embedding/embedding.hpp"
#include "runners/audits/probe.hpp"

namespace greta::runners {
namespace {

using results::Json;
using results::Outcome;
using results::Verdict;

struct Named {
  std::string name;
  const model::DeviceMatrix* matrix;
};

std::vector<Named> matrices(const model::Weights& w, const std::vector<int>& layers) {
  std::vector<Named> out = {{"token_embd.weight", &w.token_embd}};
  for (size_t i = 0; i < w.layers.size(); ++i) {
    if (!layers.empty() && std::find(layers.begin(), layers.end(), static_cast<int>(i)) == layers.end()) continue;
    const auto& l = w.layers[i];
    for (const auto& [name, m] : {std::pair{"attn_q", &l.wq}, std::pair{"attn_k", &l.wk}, std::pair{"attn_v", &l.wv},
                                  std::pair{"attn_output", &l.wo}, std::pair{"ffn_gate", &l.gate},
                                  std::pair{"ffn_up", &l.up}, std::pair{"ffn_down", &l.down}})
      out.push_back({fmt::format("blk.{}.{}.weight", i, name), m});
  }
  out.push_back({"output.weight", &w.output_matrix()});
  return out;
}

/// Values c of row r under each layout.
struct Layout {
  const char* name;
  double (*value)(const FileValues&, int64_t r, int64_t c, int64_t block);
};

constexpr Layout kLayouts[] = {
    {"right", [](const FileValues& w, int64_t r, int64_t c, int64_t) { return w.at(r * w.cols() + c); }},
    {"row - 1", [](const FileValues& w, int64_t r, int64_t c,
                   int64_t) { return w.at((r + w.rows() - 1) % w.rows() * w.cols() + c); }},
    {"row + 1",
     [](const FileValues& w, int64_t r, int64_t c, int64_t) { return w.at((r + 1) % w.rows() * w.cols() + c); }},
    {"block - 1", [](const FileValues& w, int64_t r, int64_t c,
                     int64_t block) { return w.at(r * w.cols() + (c + w.cols() - block) % w.cols()); }},
    {"block + 1", [](const FileValues& w, int64_t r, int64_t c,
                     int64_t block) { return w.at(r * w.cols() + (c + block) % w.cols()); }},
    {"swapped halves", [](const FileValues& w, int64_t r, int64_t c,
                          int64_t) { return w.at(r * w.cols() + (c + w.cols() / 2) % w.cols()); }},
    {"column-major", [](const FileValues& w, int64_t r, int64_t c, int64_t) { return w.at(c * w.rows() + r); }},
};

std::vector<int64_t> sampled(int64_t rows, int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed ^ 0xabcdef);
  std::vector<int64_t> out = {0, rows - 1};
  while (static_cast<int64_t>(out.size()) < std::min(count, rows))
    out.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(rows)));
  return out;
}

/// One route through one matrix: what came out at sampled places, and what a tensor gives there by a layout.
class Probe {
 public:
  virtual ~Probe() = default;
  /// rms(got - by that layout of that tensor) / rms(right).
  double distance(const FileValues& w, const Layout& layout, int64_t block) const {
    double square = 0;
    const std::vector<double> e = wanted(w, layout, block);
    for (size_t i = 0; i < e.size(); ++i) square += (got_[i] - e[i]) * (got_[i] - e[i]);
    return std::sqrt(square / scale_);
  }
  void measure_scale(const FileValues& w, int64_t block) {
    for (const double v : wanted(w, kLayouts[0], block)) scale_ += v * v;
  }
  bool trivial() const { return !(scale_ > 0); }
  std::string symbol;
  int64_t rows = 0;

 protected:
  virtual std::vector<double> wanted(const FileValues& w, const Layout& layout, int64_t block) const = 0;
  std::vector<double> got_;
  double scale_ = 0;
};

class MatmulProbe final : public Probe {
 public:
  MatmulProbe(hip::Stream& stream, const model::DeviceMatrix& m, int64_t rows_of_x, const std::vector<int64_t>& places,
              uint64_t seed)
      : places_(places), m_(rows_of_x), cols_(m.cols) {
    QuantMatmulProblem p;
    p.m = m_, p.n_out = m.rows, p.n_in = m.cols, p.weights = m.dtype(), p.x = p.y = DType::kF32;
    const std::vector<float> x = probe_activations(m_, m.cols, seed);
    const ProbeResult result = probe_matmul(stream, m, quant_matmul_default_rung(p), x, m_);
    symbol = result.symbol, rows = result.rows;
    x_ = seen_activations(m.dtype(), x, m_, m.cols);
    for (int64_t i = 0; i < m_; ++i)
      for (const int64_t r : places_)
        got_.push_back(static_cast<double>(result.y[static_cast<size_t>(i * m.rows + r)]));
  }

 protected:
  std::vector<double> wanted(const FileValues& w, const Layout& layout, int64_t block) const override {
    std::vector<double> out(static_cast<size_t>(m_) * places_.size());
    for (size_t s = 0; s < places_.size(); ++s)
      for (int64_t c = 0; c < cols_; ++c) {
        const double v = layout.value(w, places_[s], c, block);
        for (int64_t i = 0; i < m_; ++i)
          out[static_cast<size_t>(i) * places_.size() + s] += v * x_[static_cast<size_t>(i * cols_ + c)];
      }
    return out;
  }

 private:
  std::vector<int64_t> places_;
  int64_t m_, cols_;
  std::vector<double> x_;
};

class GatherProbe final : public Probe {
 public:
  GatherProbe(hip::Stream& stream, const model::DeviceMatrix& m, const std::vector<int64_t>& places) : places_(places) {
    EmbeddingProblem p;
    p.n_tokens = static_cast<int64_t>(places.size()), p.n_vocab = m.rows, p.width = m.cols, p.weights = m.dtype();
    const std::vector<int32_t> ids(places.begin(), places.end());
    hip::DeviceBuffer<int32_t> on_device("probe.ids", ids.size());
    hip::DeviceBuffer<float> y("probe.y", static_cast<size_t>(p.elements()));
    on_device.upload(stream, ids);
    hip::LaunchLog log;
    embedding(stream, embedding_ladder().back(), p, {.table = m.data.view(), .ids = on_device.cview(), .y = y.view()});
    for (const float v : y.to_host(stream)) got_.push_back(static_cast<double>(v));
    symbol = log.rows().empty() ? "nothing" : log.rows().front().kernel, rows = p.n_tokens;
  }

 protected:
  std::vector<double> wanted(const FileValues& w, const Layout& layout, int64_t block) const override {
    std::vector<double> out;
    for (const int64_t r : places_)
      for (int64_t c = 0; c < w.cols(); ++c) out.push_back(layout.value(w, r, c, block));
    return out;
  }

 private:
  std::vector<int64_t> places_;
};

/// The tensor of the file, other than this one, that the answer fits; "" when there is none.
std::string other_tensor(const model::GgufFile& file, const model::GgufTensor& self, const Probe& probe,
                         int64_t block) {
  for (const model::GgufTensor& t : file.tensors())
    if (t.name != self.name && t.n_rows() == self.n_rows() && t.row_length() == self.row_length() &&
        probe.distance(FileValues(t), kLayouts[0], block) <= 0.05)
      return fmt::format("; the answer is that of {}", t.name);
  return "";
}

void measure(const LayoutRequest& r, const Named& named, hip::Stream& stream, results::Record& record) {
  const bool tied = named.name == "output.weight" && r.file->find_tensor(named.name) == nullptr;
  const model::GgufTensor& tensor = *r.file->find_tensor(tied ? "token_embd.weight" : named.name);
  const FileValues values(tensor);
  const auto places = sampled(values.rows(), r.sampled_rows, r.seed);
  const int64_t block = values.cols() > dtype_block_values(tensor.type) && dtype_block_values(tensor.type) > 1
                            ? dtype_block_values(tensor.type)
                            : 32;
  std::vector<std::unique_ptr<Probe>> probes;
  if (named.name == "token_embd.weight")
    probes.push_back(std::make_unique<GatherProbe>(stream, *named.matrix, places));
  else
    for (const int64_t m : {int64_t{1}, int64_t{16}})
      probes.push_back(std::make_unique<MatmulProbe>(stream, *named.matrix, m, places, r.seed));

  record.measured["tensor"] = tensor.name, record.measured["type"] = dtype_name(tensor.type);
  record.measured["rows"] = values.rows(), record.measured["cols"] = values.cols();
  Outcome worst{Verdict::kPass, ""};
  Json routes = Json::array();
  for (const auto& probe : probes) {
    probe->measure_scale(values, block);
    std::vector<LayoutCandidate> candidates;
    Json distances = Json::object();
    for (const Layout& layout : kLayouts) {
      candidates.push_back({layout.name, probe->distance(values, layout, block)});
      distances[layout.name] = candidates.back().distance;
    }
    routes.push_back({{"kernel", probe->symbol}, {"m", probe->rows}, {"distance", distances}});
    Outcome outcome =
        probe->trivial() ? Outcome{Verdict::kMistrusted, "sampled outputs are all zero"} : judge_layout(candidates);
    if (outcome.verdict == Verdict::kFail && outcome.reason.find("none of") != std::string::npos)
      outcome.reason += other_tensor(*r.file, tensor, *probe, block);
    if (outcome.verdict != Verdict::kPass)
      outcome.reason = fmt::format("{} ({}, M={}): {}", tensor.name, probe->symbol, probe->rows, outcome.reason);
    if (worst.verdict == Verdict::kPass || (worst.verdict == Verdict::kMistrusted && outcome.verdict == Verdict::kFail))
      worst = outcome;
  }
  record.measured["routes"] = routes;
  record.outcome = worst;
}

}  // namespace

Outcome judge_layout(const std::vector<LayoutCandidate>& candidates) {
  const LayoutCandidate& right = candidates.front();
  const auto nearest = std::min_element(candidates.begin() + 1, candidates.end(), [](const auto& a, const auto& b) {
    return a.distance < b.distance || (std::isnan(b.distance) && !std::isnan(a.distance));
  });
  if (!(right.distance <= kLayoutNear)) {
    // A damaged matrix that was quantised again is met to quantisation, not to rounding.
    if (nearest->distance <= 0.1 && !(right.distance <= 2 * nearest->distance))
      return {Verdict::kFail, fmt::format("the device holds '{}' (distance {:.2g}; the right row is {:.2g} away)",
                                          nearest->name, nearest->distance, right.distance)};
    return {Verdict::kFail,
            fmt::format("the right row is {:.3g} away (bound {:.0e}), and none of the other layouts fits "
                        "(nearest '{}', {:.2g})",
                        right.distance, kLayoutNear, nearest->name, nearest->distance)};
  }
  if (!(nearest->distance >= kLayoutFar))
    return {Verdict::kMistrusted, fmt::format("'{}' is {:.2g} away, the right row {:.2g}: these weights cannot tell "
                                              "them apart",
                                              nearest->name, nearest->distance, right.distance)};
  return {Verdict::kPass, ""};
}

int64_t layout_cases(const LayoutRequest& request) {
  const model::LlamaConfig config = model::read_config(*request.file);
  int64_t layers = config.n_layers;
  if (!request.layers.empty()) layers = static_cast<int64_t>(request.layers.size());
  for (const int layer : request.layers)
    if (layer >= config.n_layers)
      throw_invalid(fmt::format("--layers {}: the model has layers 0..{}", layer, config.n_layers - 1));
  return 2 + 7 * layers;
}

void audit_layout(const LayoutRequest& request, const CaseSink& cases) {
  hip::Stream stream("audit layout");
  const auto weights = model::load_weights(*request.file, stream, request.fault);
  for (const Named& named : matrices(*weights, request.layers))
    cases(named.name, [&](results::Record& record) { measure(request, named, stream, record); });
}

}  // namespace greta::runners
