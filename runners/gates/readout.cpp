#include "runners/gates/readout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "reference/rms_norm.hpp"
#include "results/sha256.hpp"

namespace greta::runners {
namespace {

using results::Verdict;

/// Watches one engine: the residual rows of the pass, then what the output matrix reads.
class Watcher {
 public:
  Watcher(ModelAtHand& model, model::Llama& engine) : model_(model), engine_(engine) {
    engine.set_stage_sink([this](const model::StageEvent& event) { see(event); });
  }
  ReadoutStep last() const { return step_; }

 private:
  void see(const model::StageEvent& event) {
    if (event.stage == "residual_post_mlp" && event.layer + 1 == model_.config.n_layers) {
      residual_.clear();
      for (size_t i = 0; i < event.rows.size(); ++i) {
        std::vector<float> row(static_cast<size_t>(event.width));
        model::read_view(engine_.stream(), event.row(i), row.data());
        residual_.push_back({event.rows[i].position, std::move(row)});
      }
    }
    if (event.stage == "final_norm") hidden_ = event.data;
    if (event.stage == "logits") read_out(event);
  }

  void read_out(const model::StageEvent& logits) {
    step_ = {};
    step_.position = logits.rows.back().position;
    // The launch that made the logits; where the matrix is quantised, the one that quantised its input.
    const std::vector<hip::LaunchRecord> ring = hip::recent_launches();
    const hip::LaunchArgument* read = nullptr;
    hip::AllocationId wanted = logits.data.id();
    for (size_t i = ring.size(); i > 0 && !read; --i) {
      const auto writes = [&](const hip::LaunchArgument& a) {
        return a.id == wanted && a.direction.find("out") != a.direction.npos;
      };
      if (std::none_of(ring[i - 1].arguments.begin(), ring[i - 1].arguments.end(), writes)) continue;
      for (const hip::LaunchArgument& a : ring[i - 1].arguments) {
        if (a.direction != "in" || a.name.find("weight") != a.name.npos) continue;
        if (a.text.find("activation_blocks") != a.text.npos) {
          wanted = a.id;
        } else {
          read = &a, step_.launch = hip::describe(ring[i - 1]);
        }
        break;
      }
    }
    if (read) step_.buffer = read->text;
    // The row of the last token of the pass: the one whose logits decide what comes next.
    const size_t row = logits.rows.size() - 1;
    step_.row = static_cast<int64_t>(row);
    if (read && read->id == hidden_.id()) {
      const auto width = static_cast<size_t>(model_.config.dim);
      const hip::AnyView view = hidden_.slice(row * width, width);
      step_.offset = model::offset_in_allocation(view);
      std::vector<char> bytes(width * static_cast<size_t>(dtype_block_bytes(view.dtype())));
      model::read_view(engine_.stream(), view, bytes.data());
      step_.sha256 = results::sha256_of(std::span<const char>(bytes));
      step_.token_position = whose(model::numbers_of(view.dtype(), bytes), view.dtype());
    }
    step_.last_token = step_.token_position == step_.position;
    std::vector<float> values(static_cast<size_t>(logits.width));
    model::read_view(engine_.stream(), logits.row(row), values.data());
    logits_ = std::move(values);
  }

  /// The position whose final norm has these values.
  int64_t whose(const std::vector<double>& hidden, DType type) const {
    const model::LlamaConfig& c = model_.config;
    RmsNormProblem p;
    p.n_rows = 1, p.width = c.dim, p.eps = static_cast<float>(c.rms_eps), p.y = type;
    std::vector<float> weight(static_cast<size_t>(c.dim));
    std::memcpy(weight.data(), model_.file->find_tensor("output_norm.weight")->data.data(),
                weight.size() * sizeof(float));
    for (auto at = residual_.rbegin(); at != residual_.rend(); ++at) {
      const std::vector<float> twin = reference::rms_norm_twin(p, at->second, weight);
      if (std::equal(twin.begin(), twin.end(), hidden.begin(),
                     [](float a, double b) { return static_cast<double>(a) == b; }))
        return at->first;
    }
    return -1;
  }

  ModelAtHand& model_;
  model::Llama& engine_;
  std::vector<std::pair<int64_t, std::vector<float>>> residual_;
  hip::AnyView hidden_;
  ReadoutStep step_;

 public:
  std::vector<float> logits_;
};

}  // namespace

void describe_landscape(std::span<const float> logits, int64_t top_k, ReadoutStep& step) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  step.not_finite = std::count_if(logits.begin(), logits.end(), [](float v) { return !std::isfinite(v); });
  if (step.not_finite) return;
  const auto k = std::min<size_t>(std::max<size_t>(static_cast<size_t>(top_k), 5), order.size());
  // Equal logits: the smaller id first, as the greedy choice has it.
  const auto better = [&](int32_t x, int32_t y) {
    const float a = logits[static_cast<size_t>(x)], b = logits[static_cast<size_t>(y)];
    return a != b ? a > b : x < y;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(k), order.end(), better);
  const auto at = [&](size_t i) { return static_cast<double>(logits[static_cast<size_t>(order[i])]); };
  for (size_t i = 0; i < std::min<size_t>(5, k); ++i)
    step.top.emplace_back(order[i], logits[static_cast<size_t>(order[i])]);
  step.gap = k > 1 ? at(0) - at(1) : 0;
  const size_t best = std::min<size_t>(static_cast<size_t>(top_k), k);
  double sum = 0, weighted = 0;
  for (size_t i = 0; i < best; ++i) {
    const double p = std::exp(at(i) - at(0));
    sum += p, weighted += p * (at(i) - at(0));
  }
  step.entropy = std::log(sum) - weighted / sum;
}

ReadoutResult run_readout(const ReadoutRequest& r) {
  ReadoutResult result;
  std::string failure;
  int64_t planted = 0;
  const auto fail = [&](const ReadoutStep& s, const char* named, const std::string& what) {
    if (!failure.empty()) return;
    result.named = named;
    failure = fmt::format("prompt {}, step {} ({}, position {}): {}", s.prompt, s.step, s.path, s.position, what);
  };
  const auto take = [&](const Watcher& watcher, const std::string& prompt, const char* path, int64_t step) {
    ReadoutStep s = watcher.last();
    s.prompt = prompt, s.path = path, s.step = step;
    describe_landscape(watcher.logits_, r.top_k, s);
    if (s.sha256.empty())
      fail(s, "hidden row",
           "the launch that made the logits read no buffer of hidden states: " +
               (s.buffer.empty() ? "none in the ring" : s.buffer));
    else if (!s.last_token)
      fail(s, "hidden row",
           fmt::format("the output matrix read row {} of {}, which is {}, not the last token's", s.row, s.buffer,
                       s.token_position < 0 ? std::string("no token's final norm")
                                            : fmt::format("the hidden state of position {}", s.token_position)));
    if (s.not_finite) fail(s, "logits", fmt::format("{} logits are NaN or infinite", s.not_finite));
    result.steps.push_back(s);
    return s.top.empty() ? 0 : s.top.front().first;
  };
  std::vector<int32_t> firsts;
  for (const auto& [name, ids] : r.prompts) {
    const auto n = static_cast<int64_t>(ids.size());
    model::EngineOptions options = r.options;
    options.slots = 1, options.context = std::min(n + r.steps, r.model->config.context_length);
    if (n + r.steps > options.context)
      throw_invalid(fmt::format("readout: prompt {} of {} tokens and {} steps are more than the model's context of {}",
                                name, n, r.steps, options.context));
    const std::span<const int32_t> all(ids);
    const auto& weights = r.model->weights_for(options.defect);
    model::Llama by_prefill(weights, options);
    Watcher watcher(*r.model, by_prefill);
    by_prefill.prefill(0, all, std::max<int64_t>(n - 2, 0));
    int32_t next = take(watcher, name, "prefill", 0);
    const std::vector<float> prefill_logits = watcher.logits_;
    if (n > 1) {
      model::Llama by_decode(weights, options);
      Watcher second(*r.model, by_decode);
      by_decode.prefill(0, all.first(static_cast<size_t>(n - 1)), n - 1);
      by_decode.decode(all.last(1));
      const int32_t again = take(second, name, "decode", 0);
      const bool one_arithmetic = by_decode.attention_arithmetic(true) == by_decode.attention_arithmetic(false);
      if (again != next)
        fail(result.steps.back(), "choice", fmt::format("prefill chose id {}, decode id {}", next, again));
      else if (one_arithmetic &&
               std::memcmp(prefill_logits.data(), second.logits_.data(), prefill_logits.size() * sizeof(float)) != 0)
        fail(result.steps.back(), "logits", "prefill and decode have logits of other bits");
    }
    firsts.push_back(next);
    bool constant = r.steps > 1;
    for (int64_t step = 1; step < r.steps; ++step) {
      const int32_t fed[] = {next};
      by_prefill.decode(fed);
      const int32_t chosen = take(watcher, name, "decode", step);
      constant = constant && chosen == firsts.back();
      next = chosen;
    }
    planted += by_prefill.planted();
    result.prompts_collapsed += constant;
    if (constant)
      fail(result.steps.back(), "collapse",
           fmt::format("COLLAPSE: id {} is the best of all {} steps", firsts.back(), r.steps));
  }
  if (r.options.planting && planted == 0)
    throw_invalid(fmt::format("planting {}: nothing was changed", model::to_text(*r.options.planting)));
  result.collapsed_over_prompts =
      firsts.size() > 2 && std::all_of(firsts.begin(), firsts.end(), [&](int32_t id) { return id == firsts.front(); });
  if (result.collapsed_over_prompts && failure.empty())
    result.named = "collapse",
    failure = fmt::format("COLLAPSE: id {} is the best next one of all {} prompts", firsts.front(), firsts.size());
  result.outcome = failure.empty() ? results::Outcome{Verdict::kPass, ""} : results::Outcome{Verdict::kFail, failure};
  if (result.steps.empty()) result.outcome = {Verdict::kIncomplete, "no prompt, no step"};
  return result;
}

}  // namespace greta::runners
