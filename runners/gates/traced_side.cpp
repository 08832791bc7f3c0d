#include "runners/gates/traced_side.hpp"

#include <fmt/format.h>
#include <Eigen/Core>

#include <chrono>

#include "model/engine_rounding.hpp"
#include "verify/attention_inputs.hpp"
#include "verify/matrix_calibration.hpp"

namespace greta::runners {
namespace {

DType sixteen_bits(const std::string& flag, const std::string& word, const std::string& name, bool f32) {
  if (name == "fp16" || name == "f16") return DType::kF16;
  if (name == "bf16") return DType::kBF16;
  if (f32 && (name == "fp32" || name == "f32")) return DType::kF32;
  throw_invalid(fmt::format("{}: {}: want fp16, bf16{}", flag, word, f32 ? " or fp32" : ""));
}

}  // namespace

TracedSide traced_side_from_text(const std::string& flag, const std::string& text, const model::EngineOptions& base) {
  TracedSide side;
  side.text = text, side.options = base;
  if (text.starts_with("trace:")) {
    side.trace_file = text.substr(6);
    return side;
  }
  std::vector<std::string> words;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    words.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  side.spec = side_from_text(flag, words.front());
  for (size_t i = 1; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    const std::string key = words[i].substr(0, equals);
    if (equals == std::string::npos || equals + 1 == words[i].size())
      throw_invalid(
          fmt::format("{}: '{}' is no KEY=VALUE; keys: kv, act, exp, or an operator with a rung", flag, words[i]));
    const std::string value = words[i].substr(equals + 1);
    if (side.is_reference()) throw_invalid(fmt::format("{}: the reference has no knobs, got {}", flag, words[i]));
    if (key == "kv")
      side.options.kv = sixteen_bits(flag, words[i], value, false);
    else if (key == "act")
      side.options.activations = sixteen_bits(flag, words[i], value, true);
    else if (key == "exp" && value == "hw" && hip::platform_name() == "host")
      throw_invalid(fmt::format("{}: exp=hw: the host platform has no hardware exp2", flag));
    else if (key == "exp" && (value == "hw" || value == "portable"))
      side.options.exp = value == "hw" ? ExpMode::kHardware : ExpMode::kPortable;
    else if (key == "exp")
      throw_invalid(fmt::format("{}: {}: want hw or portable", flag, words[i]));
    else
      side.options.rungs[key] = value;  // the engine refuses names it does not know
  }
  return side;
}

std::string matrix_machine_text() {
  const reference::MatrixMachine machine = verify::matrix_machine();
  const char* name = machine.model == MatrixModel::kHopper ? "hopper"
                     : machine.model == MatrixModel::kFmaf ? "fmaf"
                                                           : "cdna3";
  return fmt::format("{} wave {}", name, machine.wave);
}

const std::shared_ptr<const model::Weights>& ModelAtHand::weights_for(model::Defect defect) {
  if (model::load_fault_of(defect).damage == model::WeightDamage::kNone) defect = model::Defect::kNone;
  auto& at = weights[defect];
  if (!at) {
    hip::Stream stream("upload");
    at = model::load_weights(*file, stream, defect);
  }
  return at;
}

TracedRun run_traced(ModelAtHand& model, const TracedSide& side, std::span<const int32_t> ids, model::TraceWant want,
                     int64_t logits_from, uint64_t seed, bool rounding) {
  const auto n = static_cast<int64_t>(ids.size());
  if (n > model.config.context_length)
    throw_invalid(fmt::format("{} tokens are more than the model's context of {}; shorten the input", n,
                              model.config.context_length));
  TracedRun out{model::Trace(std::move(want), model.config, n, logits_from), {}};
  if (side.is_reference()) {
    const auto start = std::chrono::steady_clock::now();
    std::optional<model::EngineRounding> rounds;
    if (rounding) rounds = model::EngineRounding{side.options.kv, side.options.activations};
    const auto logits =
        model::reference_logits(*model.file, model.config, ids, logits_from, rounds, out.trace.observer());
    out.run.side = side.spec;
    out.run.logits.assign(logits.data(), logits.data() + logits.size());
    out.run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return out;
  }
  SideRequest request{side.spec, ids, logits_from, side.kv_aligned, seed, {}};
  request.watch = [&](model::Llama& engine, int64_t place) { out.trace.watch(engine, place); };
  request.on_aligned = [&](model::Llama& engine, int64_t place, int64_t from, int64_t to) {
    out.trace.reread_cache(engine, place, from, to);
  };
  out.run = run_side(model.weights_for(side.options.defect), side.options, request);
  return out;
}

}  // namespace greta::runners
