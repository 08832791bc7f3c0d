// Seeded defects of the engine's wiring: each is a mistake somebody could make, and each must turn the gate red.
#pragma once

#include <span>
#include <string_view>

namespace greta::model {

enum class Defect {
  kNone,
  kLastKvIgnored,         ///< decode sees one key less than there is
  kPositionOffByOne,      ///< queries are rotated as if one position later; keys are not
  kWrongGqaMap,           ///< query head h reads KV head h % n_kv_heads
  kScaleOmitted,          ///< scores are not multiplied by 1/sqrt(head_dim)
  kSubBlockScaleSwapped,  ///< loader: scales of sub-blocks 0 and 1 exchanged in every Q4_K superblock of one matrix
  kKvAlignedIgnored,      ///< --kv-aligned is accepted and dropped
  kResidualSkipped,       ///< the attention output of the last layer is not added to the residual stream
  kStaleKvRow,            ///< the KV row of position 3 is never written: it keeps what the buffer held
  kRopePairsSwapped,      ///< rotation pairs (i, i + head_dim/2) instead of (2i, 2i+1)
  kEpsWrong,              ///< RMSNorm's eps is 1e-2 instead of the model's
};

struct DefectInfo {
  Defect defect;
  std::string_view name;      ///< for --defect
  std::string_view what;      ///< one sentence for people
  bool decode_only;           ///< changes nothing in a prefill pass: meaningless on a prefill side
  std::string_view expected;  ///< verdict of the gate when it is on side b: "FAIL" or "VACUOUS"
};

std::span<const DefectInfo> defect_table();
/// Throws kInvalidArgument listing the names.
const DefectInfo& defect_from_name(std::string_view name);
const DefectInfo& defect_info(Defect defect);

}  // namespace greta::model
