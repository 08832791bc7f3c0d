#include "verify/exec_knobs.hpp"

#include <fmt/format.h>

#include "reference/random.hpp"

namespace greta::verify {
namespace {

using hip::ExecConfig;

constexpr const char* kKnobs[] = {"poison", "order", "wave", "workers"};
constexpr int kRandomOrders = 3;  ///< one random order finds a given missing barrier with a chance of about two thirds

const char* order_name(ExecConfig::Order order) {
  return order == ExecConfig::Order::kForward ? "forward"
                                              : (order == ExecConfig::Order::kReverse ? "reverse" : "random");
}
const char* poison_name(ExecConfig::Poison poison) {
  return poison == ExecConfig::Poison::kNan ? "nan" : "large_finite";
}

}  // namespace

bool is_exec_knob(const std::string& which) {
  for (const char* knob : kKnobs)
    if (which == knob) return true;
  return false;
}

std::vector<ExecKnob> exec_knobs(const std::string& which, uint64_t seed) {
  const ExecConfig now = hip::exec_config();
  ExecConfig next = now;
  if (which == "poison") {
    next.poison = now.poison == ExecConfig::Poison::kNan ? ExecConfig::Poison::kLargeFinite : ExecConfig::Poison::kNan;
    return {{fmt::format("poison={}", poison_name(next.poison)), next}};
  }
  if (hip::platform_name() != "host") return {};
  if (which == "wave") {
    next.wave = now.wave == 64 ? 32 : 64;
    return {{fmt::format("wave={}", next.wave), next}};
  }
  if (which == "workers") {
    next.workers = now.workers == 1 ? 2 : 1;
    return {{fmt::format("workers={}", next.workers), next}};
  }
  std::vector<ExecKnob> out;
  next.order = ExecConfig::Order::kReverse;
  out.push_back({"order=reverse", next});
  next.order = ExecConfig::Order::kRandom;
  for (int i = 0; i < kRandomOrders; ++i) {
    next.order_seed = reference::substream(seed, static_cast<uint64_t>(i));
    out.push_back({fmt::format("order=random:{}", next.order_seed), next});
  }
  return out;
}

results::Json exec_as_json() {
  const ExecConfig& c = hip::exec_config();
  results::Json out = {{"poison", poison_name(c.poison)}, {"checked", c.checked}};
  if (hip::platform_name() != "host") return out;
  out["wave"] = c.wave;
  out["workers"] = c.workers;
  out["order"] = order_name(c.order);
  if (c.order == ExecConfig::Order::kRandom) out["order_seed"] = c.order_seed;
  const auto model = c.matrix_model;
  using Model = ExecConfig::MatrixModel;
  out["matrix_tiles"] = model == Model::kCdna3 ? "cdna3" : (model == Model::kHopper ? "hopper" : "fmaf");
  return out;
}

}  // namespace greta::verify
