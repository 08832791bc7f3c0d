#include "model/defects.hpp"

#include <array>
#include <string>

#include "kernels/hip/error.hpp"

namespace greta::model {
namespace {

constexpr std::array<DefectInfo, 11> kTable = {{
    {Defect::kNone, "none", "no defect", false, "PASS"},
    {Defect::kLastKvIgnored, "last-kv-ignored", "decode ignores the last KV entry", true, "FAIL"},
    {Defect::kPositionOffByOne, "position-off-by-one", "queries are rotated as if one position later", false, "FAIL"},
    {Defect::kWrongGqaMap, "wrong-gqa-map", "query head h reads KV head h % n_kv_heads", false, "FAIL"},
    {Defect::kScaleOmitted, "scale-omitted", "attention scores lack 1/sqrt(head_dim)", false, "FAIL"},
    {Defect::kSubBlockScaleSwapped, "q4k-scale-swapped",
     "Q4_K sub-block scales 0 and 1 exchanged in the first layer's query matrix", false, "FAIL"},
    {Defect::kKvAlignedIgnored, "kv-aligned-ignored", "--kv-aligned is accepted and dropped", true, "VACUOUS"},
    {Defect::kResidualSkipped, "residual-skipped", "the last layer's attention output is not added to the residual",
     false, "FAIL"},
    {Defect::kStaleKvRow, "stale-kv-row", "the KV row of position 3 is never written", false, "FAIL"},
    {Defect::kRopePairsSwapped, "rope-pairs-swapped", "RoPE pairs (i, i + head_dim/2) instead of (2i, 2i+1)", false,
     "FAIL"},
    {Defect::kEpsWrong, "eps-wrong", "RMSNorm uses eps 1e-2", false, "FAIL"},
}};

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
