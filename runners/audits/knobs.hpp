// Audits of knobs: a flag that is accepted must reach the kernels. What is believed is the engine's own echo (symbols
// launched, types of the buffers that were allocated, rows of the cache that were read), never the flag.
//
//   greta audit dtype      --kv fp16 against bf16: symbols, buffers and logits must differ            else VACUOUS
//   greta audit batch      one sequence among 1, 2, 4, 8: equal bits (else FAIL), launches must differ (else VACUOUS)
//   greta audit kv-aligned rows read are those that a prefill pass wrote, and they are what decides    else VACUOUS
//   greta audit seed       another seed, other neighbours of a batch and another place among them      else VACUOUS;
//                          the same bits of the sequence, and of paths without neighbours              else FAIL
//   greta audit attention  every rung of both ladders: the symbol that is launched is the one asked for else VACUOUS
//
// CONTRADICTION where two echoes cannot both be true: the launches differ and nothing they compute does.
#pragma once

#include <memory>
#include <span>

#include "runners/audits/case_sink.hpp"
#include "runners/gates/side.hpp"

namespace greta::runners {

struct KnobRequest {
  const model::GgufFile* file = nullptr;
  std::span<const int32_t> ids;
  model::EngineOptions options;  ///< a defect among them
  uint64_t seed = 1;
};

inline constexpr int64_t kDtypeCases = 3;  ///< echo of each type, and the comparison
void audit_dtype(const KnobRequest& request, const CaseSink& cases);

inline constexpr int64_t kBatchSizes[] = {1, 2, 4, 8};
void audit_batch(const KnobRequest& request, const CaseSink& cases);

inline constexpr int64_t kKvAlignedCases = 3;
void audit_kv_aligned(const KnobRequest& request, const CaseSink& cases);

inline constexpr int64_t kSeedCases = 4;
void audit_seed(const KnobRequest& request, const CaseSink& cases);

int64_t attention_cases(const KnobRequest& request);
void audit_attention(const KnobRequest& request, const CaseSink& cases);

/// Two runs of which a knob was turned between: what must have changed, and whether it did. The knob's effect has three
/// witnesses; `outcome` weighs them.
struct KnobEffect {
  bool launches_differ = false, buffers_differ = false, logits_differ = false;
  bool logits_must_differ = true;  ///< else they must be equal in bits
  /// PASS, VACUOUS (nothing that runs has changed), FAIL (bits that must be equal are not), CONTRADICTION (other
  /// kernels on other types gave the same bits, or the same kernels on the same types gave others).
  results::Outcome outcome(const std::string& knob) const;
};

}  // namespace greta::runners
