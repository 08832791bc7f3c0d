// A side of a trace or a bisection: a path with its own knobs, the reference, or a trace saved earlier.
//
//   prefill | decode | chunk:N | batch:N | reference        optionally followed by knobs of this side alone:
//   decode,kv=bf16,act=bf16,exp=hw,decode_attention=v1,prefill_attention=v1
//   trace:FILE                                              what `greta trace --out FILE` wrote, here or elsewhere
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "model/gguf.hpp"
#include "model/trace.hpp"
#include "runners/gates/side.hpp"

namespace greta::runners {

struct TracedSide {
  SideSpec spec;
  model::EngineOptions options;
  std::string trace_file;   ///< of trace:FILE
  std::string text;         ///< as given
  bool kv_aligned = false;  ///< earlier KV rows are those of one prefill pass (SideRequest::kv_aligned)
  bool is_reference() const { return trace_file.empty() && spec.kind == SideSpec::Kind::kReference; }
  bool is_engine() const { return trace_file.empty() && !is_reference(); }
};
/// `base` holds the knobs of all sides. Throws kInvalidArgument naming the flag, the word and what is known.
TracedSide traced_side_from_text(const std::string& flag, const std::string& text, const model::EngineOptions& base);

/// A model, and what sides of it share: weights are uploaded once for each defect that the loader makes.
struct ModelAtHand {
  const model::GgufFile* file = nullptr;
  model::LlamaConfig config;
  std::map<model::Defect, std::shared_ptr<const model::Weights>> weights;
  explicit ModelAtHand(const model::GgufFile& f) : file(&f), config(model::read_config(f)) {}
  const std::shared_ptr<const model::Weights>& weights_for(model::Defect defect);
};

/// The machine whose bits matrix tiles have here, "cdna3 wave 64": traces of another one differ in bits under
/// arithmetic online_mma, and are right.
std::string matrix_machine_text();

struct TracedRun {
  model::Trace trace;
  SideRun run;  ///< of the reference: logits and seconds alone
};
/// Runs an engine side or the reference, traced. `rounding`: the reference rounds where an engine of these options
/// does.
TracedRun run_traced(ModelAtHand& model, const TracedSide& side, std::span<const int32_t> ids, model::TraceWant want,
                     int64_t logits_from, uint64_t seed, bool rounding = false);

}  // namespace greta::runners
