// Seeded defects of the engine: its wiring, its loader, its copies, its knobs. Each is a mistake somebody could make,
// and each must turn the gate or the audit named beside it red.
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
  // Wiring
  kReadoutRowBefore,   ///< logits of rows after a pass's first are made from the row before
  kVOfLayerBefore,     ///< attention reads the V cache of the layer before
  kBatchKvLengths,     ///< every sequence of a batch sees as many keys as the longest
  kAlignedRowShifted,  ///< copy: the KV-aligned control copies the row of the position before
  // Loader and copies (model/weight_damage.hpp says what each does)
  kWeightTransposed,
  kWeightRowShifted,
  kWeightBlockShifted,
  kWeightHalvesSwapped,
  kGateUpSwapped,
  kLayersSwapped,
  kNormsSwapped,
  kOutputNormForgotten,
  kEmbeddingRowShifted,
  kOutputTied,
  kUploadTruncated,
  // Knobs that are accepted and dropped
  kKvDtypeIgnored,        ///< --kv: the cache and attention stay f16
  kBatchIgnored,          ///< batch:N: the sequence runs alone
  kAttentionRungIgnored,  ///< --rung prefill_attention / decode_attention
  kMatmulRungIgnored,     ///< --rung quant_matmul
  kSeedIgnored,           ///< --seed: the neighbours of a batch and the place among them are always the same
  // The seed beyond what it is for
  kSeedLeaks,         ///< the sequence's own ids depend on --seed
  kSeedUnrepeatable,  ///< the neighbours of a batch depend on what ran before
};

struct DefectInfo {
  Defect defect;
  std::string_view name;                ///< for --defect
  std::string_view what;                ///< one sentence for people
  bool decode_only;                     ///< changes nothing in a prefill pass: meaningless on a prefill side
  std::string_view expected;            ///< verdict of what catches it: for the gate, when it is on side b
  std::string_view caught_by = "gate";  ///< "gate" (greta gate), or an audit: "audit dtype"
  std::string_view gate_words = "";     ///< arguments that the gate needs to meet it: "--kv-aligned 1"
  std::string_view stage = "";          ///< first stage that is wrong: what a bisection must name; "" when no stage is
  int layer = -1;                       ///< of that stage; -1 outside layers
};

std::span<const DefectInfo> defect_table();
/// Throws kInvalidArgument listing the names.
const DefectInfo& defect_from_name(std::string_view name);
const DefectInfo& defect_info(Defect defect);

}  // namespace greta::model
