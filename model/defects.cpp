#include "model/defects.hpp"

#include <array>
#include <string>

#include "kernels/hip/error.hpp"

namespace greta::model {
namespace {

constexpr std::array<DefectInfo, 33> kTable = {{
    {Defect::kNone, "none", "no defect", false, "PASS"},
    {Defect::kLastKvIgnored, "last-kv-ignored", "decode ignores the last KV entry", true, "FAIL", "gate", "",
     "attn_out", 0},
    {Defect::kPositionOffByOne, "position-off-by-one", "queries are rotated as if one position later", false, "FAIL",
     "gate", "", "q_post_rope", 0},
    {Defect::kWrongGqaMap, "wrong-gqa-map", "query head h reads KV head h % n_kv_heads", false, "FAIL", "gate", "",
     "attn_out", 0},
    {Defect::kScaleOmitted, "scale-omitted", "attention scores lack 1/sqrt(head_dim)", false, "FAIL", "gate", "",
     "attn_out", 0},
    {Defect::kSubBlockScaleSwapped, "q4k-scale-swapped",
     "Q4_K sub-block scales 0 and 1 exchanged in the first layer's query matrix", false, "FAIL", "gate", "",
     "q_pre_rope", 0},
    {Defect::kKvAlignedIgnored, "kv-aligned-ignored", "--kv-aligned is accepted and dropped", true, "VACUOUS", "gate",
     "--kv-aligned 1"},
    {Defect::kResidualSkipped, "residual-skipped", "the last layer's attention output is not added to the residual",
     false, "FAIL", "gate", "", "residual_post_attn", 7},
    {Defect::kStaleKvRow, "stale-kv-row", "the KV row of position 3 is never written", false, "FAIL", "gate", "",
     "k_cache", 0},
    {Defect::kRopePairsSwapped, "rope-pairs-swapped", "RoPE pairs (i, i + head_dim/2) instead of (2i, 2i+1)", false,
     "FAIL", "gate", "", "q_post_rope", 0},
    {Defect::kEpsWrong, "eps-wrong", "RMSNorm uses eps 1e-2", false, "FAIL", "gate", "", "attn_in", 0},
    {Defect::kReadoutRowBefore, "readout-row-before", "logits of later rows are made from the row before", false,
     "FAIL", "gate", "--span 3 --a decode --b prefill", "final_norm"},
    {Defect::kVOfLayerBefore, "v-of-layer-before", "attention reads the V cache of the layer before", false, "FAIL",
     "gate", "", "attn_out", 1},
    {Defect::kBatchKvLengths, "batch-kv-lengths", "every sequence of a batch sees as many keys as the longest", true,
     "FAIL", "gate", "--b batch:3", "attn_out", 0},
    {Defect::kAlignedRowShifted, "aligned-row-shifted", "the KV-aligned control copies the row before", true, "FAIL",
     "gate", "--kv-aligned 1", "k_cache", 0},
    {Defect::kWeightTransposed, "weight-transposed", "blk.1.attn_k read column by column", false, "FAIL", "gate", "",
     "k_pre_rope", 1},
    {Defect::kWeightRowShifted, "weight-row-shifted", "blk.2.ffn_gate one row further down", false, "FAIL", "gate", "",
     "gate_up", 2},
    {Defect::kWeightBlockShifted, "weight-block-shifted", "blk.3.ffn_down one superblock further on", false, "FAIL",
     "gate", "", "mlp_out", 3},
    {Defect::kWeightHalvesSwapped, "weight-halves-swapped", "blk.6.attn_v with the halves of its rows exchanged", false,
     "FAIL", "gate", "", "v", 6},
    {Defect::kGateUpSwapped, "gate-up-swapped", "blk.5.ffn_gate and blk.5.ffn_up exchanged", false, "FAIL", "gate", "",
     "gate_up", 5},
    {Defect::kLayersSwapped, "layers-swapped", "attn_output of layers 2 and 4 exchanged", false, "FAIL", "gate", "",
     "wo_out", 2},
    {Defect::kNormsSwapped, "norms-swapped", "attn_norm and ffn_norm of layer 1 exchanged", false, "FAIL", "gate", "",
     "attn_in", 1},
    {Defect::kOutputNormForgotten, "output-norm-forgotten", "output_norm is all ones", false, "FAIL", "gate", "",
     "final_norm"},
    {Defect::kEmbeddingRowShifted, "embedding-row-shifted", "token_embd one row further down", false, "FAIL", "gate",
     "", "embed_out"},
    {Defect::kOutputTied, "output-tied", "token_embd serves as output matrix of a model that has its own", false,
     "FAIL", "gate", "", "logits"},
    {Defect::kUploadTruncated, "upload-truncated", "the last quarter of blk.6.ffn_up never reaches the device", false,
     "FAIL", "gate", "", "gate_up", 6},
    {Defect::kKvDtypeIgnored, "kv-dtype-ignored", "--kv is accepted and dropped", false, "VACUOUS", "audit dtype"},
    {Defect::kBatchIgnored, "batch-ignored", "batch:N is accepted and the sequence runs alone", true, "VACUOUS",
     "audit batch"},
    {Defect::kAttentionRungIgnored, "attention-rung-ignored", "--rung of attention is accepted and dropped", false,
     "VACUOUS", "audit attention"},
    {Defect::kMatmulRungIgnored, "matmul-rung-ignored", "--rung quant_matmul is accepted and dropped", false, "VACUOUS",
     "audit output"},
    {Defect::kSeedIgnored, "seed-ignored", "--seed is accepted and dropped", true, "VACUOUS", "audit seed"},
    {Defect::kSeedLeaks, "seed-leaks", "the first id of the sequence depends on --seed", false, "FAIL", "audit seed"},
    {Defect::kSeedUnrepeatable, "seed-unrepeatable", "the neighbours of a batch depend on what ran before", true,
     "FAIL", "audit seed"},
}};

constexpr bool in_order() {
  for (size_t i = 0; i < kTable.size(); ++i)
    if (static_cast<size_t>(kTable[i].defect) != i) return false;
  return true;
}
static_assert(in_order(), "defect_info() finds a row by its number");

}  // namespace

std::span<const DefectInfo> defect_table() { return std::span(kTable).subspan(1); }

const DefectInfo& defect_from_name(std::string_view name) {
  std::string known;
  for (const DefectInfo& d : kTable) {
    if (d.name == name) return d;
    known += (known.empty() ? "" : ", ") + std::string(d.name);
  }
  throw_invalid("--defect: no defect '" + std::string(name) + "'; known: " + known);
}

const DefectInfo& defect_info(Defect defect) { return kTable[static_cast<size_t>(defect)]; }

}  // namespace greta::model
