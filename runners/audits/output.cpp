#include "runners/audits/output.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "runners/audits/layout.hpp"
#include "runners/audits/probe.hpp"
#include "runners/audits/stages.hpp"

namespace greta::runners {
namespace {

using results::Json;
using results::Outcome;
using results::Verdict;

class Audit {
 public:
  explicit Audit(const OutputRequest& r) : r_(r), config_(model::read_config(*r.file)) {
    if (r.ids.size() < 4) throw_invalid(fmt::format("audit output: {} tokens, wanted at least 4", r.ids.size()));
    hip::Stream stream("upload");
    weights_ = model::load_weights(*r.file, stream, r.options.defect);
    tensor_ = r.file->find_tensor(config_.tied_output ? "token_embd.weight" : "output.weight");
    std::mt19937_64 random(r.seed + 77);
    for (int64_t i = 0; i < r.sampled; ++i)
      places_.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(config_.vocab_size)));
  }

  std::vector<const QuantMatmulRung*> rungs() const {
    std::vector<const QuantMatmulRung*> out;
    QuantMatmulProblem p;
    p.m = rows(), p.n_out = config_.vocab_size, p.n_in = config_.dim, p.weights = tensor_->type;
    p.x = r_.options.activations, p.y = DType::kF32;
    for (const QuantMatmulRung& rung : quant_matmul_ladder())
      if (rung.accepts(p).empty()) out.push_back(&rung);
    return out;
  }

  void run(const CaseSink& cases) {
    cases("hidden row", [&](results::Record& record) { hidden_row(record); });
    for (const QuantMatmulRung* rung : rungs())
      cases(fmt::format("route {}", rung->name), [&](results::Record& record) { route(*rung, record); });
  }

 private:
  int64_t rows() const { return std::min<int64_t>(3, static_cast<int64_t>(r_.ids.size()) - 1); }

  model::EngineOptions options_with(const char* rung) const {
    model::EngineOptions options = r_.options;
    options.context = static_cast<int64_t>(r_.ids.size());
    if (rung) options.rungs["quant_matmul"] = rung;
    return options;
  }

  /// rms(got - RMSNorm(row) * weight) / rms(got's own), in double.
  double norm_distance(std::span<const float> row, std::span<const float> got) const {
    const auto n = row.size();
    double square = 0;
    for (const float v : row) square += static_cast<double>(v) * v;
    const double scale = 1.0 / std::sqrt(square / static_cast<double>(n) + config_.rms_eps);
    const model::GgufTensor& t = *r_.file->find_tensor("output_norm.weight");
    const FileValues w(t);
    double off = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
      const double want = static_cast<double>(row[i]) * scale * w.at(static_cast<int64_t>(i));
      off += (got[i] - want) * (got[i] - want), size += want * want;
    }
    return std::sqrt(off / size);
  }

  void hidden_row(results::Record& record) {
    model::Llama engine(weights_, options_with(nullptr));
    const auto n = static_cast<int64_t>(r_.ids.size());
    const int64_t last_layer = config_.n_layers - 1;
    const int64_t prompt = n - 1;
    Outcome outcome{Verdict::kPass, ""};
    Json parts = Json::array();
    CapturedStage residual, normed;
    for (const bool decode : {false, true}) {
      StageCapture capture(engine, {"residual_post_mlp", "final_norm"});
      if (decode)
        (void)engine.decode(std::vector<int32_t>{r_.ids.back()});
      else
        (void)engine.prefill(0, r_.ids.first(static_cast<size_t>(prompt)), prompt - rows());
      const CapturedStage& now = capture.at("residual_post_mlp", last_layer);
      normed = capture.at("final_norm", -1);
      residual.width = now.width;
      residual.values.insert(residual.values.end(), now.values.begin(), now.values.end());
      const int64_t first = decode ? prompt : prompt - rows(), count = decode ? 1 : rows();
      if (normed.rows() != count || residual.rows() != (decode ? n : prompt)) {
        record.outcome = {Verdict::kFail,
                          fmt::format("{} rows were normed for {} rows of logits", normed.rows(), count)};
        return;
      }
      for (int64_t i = 0; i < count; ++i) {
        const auto width = static_cast<size_t>(residual.width);
        const std::span<const float> got(normed.values.data() + static_cast<size_t>(i) * width, width);
        int64_t nearest = -1;
        double best = 0, right = 0, far = 1e300;
        for (int64_t p = 0; p < residual.rows(); ++p) {
          const double d = norm_distance({residual.values.data() + static_cast<size_t>(p) * width, width}, got);
          if (nearest < 0 || d < best) best = d, nearest = p;
          if (p == first + i)
            right = d;
          else
            far = std::min(far, d);
        }
        parts.push_back({{"pass", decode ? "decode" : "prefill"},
                         {"position", first + i},
                         {"nearest", nearest},
                         {"distance", right},
                         {"nearest_other", far}});
        if (outcome.verdict == Verdict::kPass && !(right <= kHiddenNear))
          outcome = {Verdict::kFail,
                     nearest != first + i && best <= kHiddenNear
                         ? fmt::format("{}: logits of position {} were made from the hidden row of position {}",
                                       decode ? "decode" : "prefill", first + i, nearest)
                         : fmt::format("{}: the row read for position {} is the norm of no row of the residual stream "
                                       "(its own is {:.3g} away)",
                                       decode ? "decode" : "prefill", first + i, right)};
        if (outcome.verdict == Verdict::kPass && !(far >= kHiddenFar))
          outcome = {Verdict::kMistrusted,
                     fmt::format("another position's row is only {:.2g} from position {}'s: choose "
                                 "another text",
                                 far, first + i)};
      }
    }
    record.measured["rows"] = parts;
    record.outcome = outcome;
  }

  void route(const QuantMatmulRung& rung, results::Record& record) {
    model::Llama engine(weights_, options_with(rung.name));
    const auto prompt = static_cast<int64_t>(r_.ids.size()) - 1;
    std::vector<std::string> symbols;
    std::vector<float> logits;
    {
      hip::LaunchLog log;
      logits = engine.prefill(0, r_.ids.first(static_cast<size_t>(prompt)), prompt - rows());
      const std::vector<float> step = engine.decode(std::vector<int32_t>{r_.ids.back()});
      logits.insert(logits.end(), step.begin(), step.end());
      for (const auto& row : log.rows())
        if (row.kernel.starts_with("gem") && row.kernel.find(dtype_name(tensor_->type)) != std::string::npos)
          symbols.push_back(fmt::format("{} M={}", row.kernel, row.rows));
    }
    // "gemv_q6_k_v1" launches gemv_v1<q6_k, ...>.
    const std::string name = rung.name, symbol = name.substr(0, name.find('_')) + name.substr(name.rfind('_')) + "<";
    const bool launched = std::any_of(symbols.begin(), symbols.end(), [&](const std::string& s) {
      return s.starts_with(symbol) || s.starts_with(name);
    });
    // The same pass again with the row in sight; its bits are those of the pass without.
    model::Llama watched(weights_, options_with(rung.name));
    CapturedStage hidden;
    std::vector<float> again;
    for (const bool decode : {false, true}) {
      StageCapture capture(watched, {"final_norm"});
      const std::vector<float> part =
          decode ? watched.decode(std::vector<int32_t>{r_.ids.back()})
                 : watched.prefill(0, r_.ids.first(static_cast<size_t>(prompt)), prompt - rows());
      const CapturedStage& now = capture.at("final_norm", -1);
      hidden.width = now.width;
      hidden.values.insert(hidden.values.end(), now.values.begin(), now.values.end());
      again.insert(again.end(), part.begin(), part.end());
    }
    const std::vector<LayoutCandidate> candidates = distances(hidden, again);
    Json d = Json::object();
    for (const auto& c : candidates) d[c.name] = c.distance;
    record.rung = rung.name, record.arithmetic = rung.arithmetic;
    record.measured["distance"] = d, record.measured["positions"] = hidden.rows();
    record.config["matmuls"] = symbols;
    const Outcome near = judge_layout(candidates);
    if (near.verdict == Verdict::kFail)
      record.outcome = {Verdict::kFail,
                        "logits are not the product of the hidden row and the file's output matrix: " + near.reason};
    else if (!same_bits(logits, again))
      record.outcome = {Verdict::kFail, "watching the hidden row changed bits of the logits"};
    else if (!first_.empty() && !same_bits(first_, logits))
      record.outcome = {Verdict::kFail, "the logits have other bits than by the first route"};
    else if (!launched)
      record.outcome = {Verdict::kVacuous, fmt::format("{} was asked for, and no kernel of it launched; what ran: {}",
                                                       rung.name, fmt::join(symbols, ", "))};
    else
      record.outcome = near;
    if (first_.empty()) first_ = logits;
  }

  std::vector<LayoutCandidate> distances(const CapturedStage& hidden, const std::vector<float>& logits) const {
    const FileValues values(*tensor_);
    const int64_t vocab = config_.vocab_size;
    const std::vector<double> x = seen_activations(tensor_->type, hidden.values, hidden.rows(), hidden.width);
    std::vector<LayoutCandidate> out = {{"right"}, {"row - 1"}, {"row + 1"}};
    double size = 0;
    for (const int64_t place : places_) {
      std::vector<double> rows[3];
      for (const int64_t shift : {int64_t{0}, int64_t{-1}, int64_t{1}})
        rows[shift < 0 ? 1 : 2 * shift] = values.row((place + shift + vocab) % vocab);
      for (int64_t i = 0; i < hidden.rows(); ++i) {
        const double got = static_cast<double>(logits[static_cast<size_t>(i * vocab + place)]);
        for (size_t k = 0; k < 3; ++k) {
          double want = 0;
          for (int64_t c = 0; c < hidden.width; ++c)
            want += rows[k][static_cast<size_t>(c)] * x[static_cast<size_t>(i * hidden.width + c)];
          out[k].distance += (got - want) * (got - want);
          if (k == 0) size += want * want;
        }
      }
    }
    for (auto& c : out) c.distance = std::sqrt(c.distance / size);
    return out;
  }

  static bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  }

  const OutputRequest& r_;
  model::LlamaConfig config_;
  std::shared_ptr<const model::Weights> weights_;
  const model::GgufTensor* tensor_;
  std::vector<int64_t> places_;
  std::vector<float> first_;
};

}  // namespace

int64_t output_cases(const OutputRequest& request) { return 1 + static_cast<int64_t>(Audit(request).rungs().size()); }

void audit_output(const OutputRequest& request, const CaseSink& cases) { Audit(request).run(cases); }

}  // namespace greta::runners
