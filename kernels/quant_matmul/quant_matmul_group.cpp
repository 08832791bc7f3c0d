#include "kernels/quant_matmul/quant_matmul_group.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void gemv_v2_group(hip::Stream&, const QuantMatmulGroupProblem&, const QuantMatmulGroupArgs&);
void gemv_v3_group(hip::Stream&, const QuantMatmulGroupProblem&, const QuantMatmulGroupArgs&);
void gemm_v2_group(hip::Stream&, const QuantMatmulGroupProblem&, const QuantMatmulGroupArgs&);
void gemm_v3_group(hip::Stream&, const QuantMatmulGroupProblem&, const QuantMatmulGroupArgs&);
void gemm_v4_group(hip::Stream&, const QuantMatmulGroupProblem&, const QuantMatmulGroupArgs&);
void gemv_float_v2_group(hip::Stream&, const QuantMatmulGroupProblem&, const QuantMatmulGroupArgs&);
void gemm_float_v2_group(hip::Stream&, const QuantMatmulGroupProblem&, const QuantMatmulGroupArgs&);

namespace {

/// What the rung of that name says to a part: all parts are alike but for their rows, which no rung minds.
std::string as_single(const char* name, const QuantMatmulGroupProblem& p) {
  return find_rung("quant_matmul", quant_matmul_ladder(), name).accepts(p.part(0));
}

#define GRETA_GROUP_RUNG(name, launch, arithmetic)                                                 \
  {                                                                                                \
    name, launch, [](const QuantMatmulGroupProblem& p) { return as_single(name, p); }, arithmetic, \
        "workgroups dealt out to several matrices"                                                 \
  }
constexpr QuantMatmulGroupRung kLadder[] = {
    GRETA_GROUP_RUNG("gemv_q4_k_v3", gemv_v3_group, "q4_k_i8"),
    GRETA_GROUP_RUNG("gemm_q4_k_v2", gemm_v2_group, "q4_k_i8"),
    GRETA_GROUP_RUNG("gemm_q4_k_v3", gemm_v3_group, "q4_k_i8"),
    GRETA_GROUP_RUNG("gemm_q4_k_v4", gemm_v4_group, "q4_k_i8"),
    GRETA_GROUP_RUNG("gemv_q6_k_v2", gemv_v2_group, "q6_k_i8"),
    GRETA_GROUP_RUNG("gemm_q6_k_v2", gemm_v2_group, "q6_k_i8"),
    GRETA_GROUP_RUNG("gemm_q6_k_v3", gemm_v3_group, "q6_k_i8"),
    GRETA_GROUP_RUNG("gemm_q6_k_v4", gemm_v4_group, "q6_k_i8"),
    GRETA_GROUP_RUNG("gemv_q8_0_v2", gemv_v2_group, "q8_0_i8"),
    GRETA_GROUP_RUNG("gemm_q8_0_v2", gemm_v2_group, "q8_0_i8"),
    GRETA_GROUP_RUNG("gemm_q8_0_v3", gemm_v3_group, "q8_0_i8"),
    GRETA_GROUP_RUNG("gemv_float_v2", gemv_float_v2_group, "mma_f32"),
    GRETA_GROUP_RUNG("gemm_float_v2", gemm_float_v2_group, "mma_f32"),
};
#undef GRETA_GROUP_RUNG

}  // namespace

std::span<const QuantMatmulGroupRung> quant_matmul_group_ladder() { return kLadder; }

const QuantMatmulGroupRung* quant_matmul_group_rung(const QuantMatmulRung& single) {
  for (const QuantMatmulGroupRung& rung : kLadder)
    if (std::string_view(rung.name) == single.name) return &rung;
  return nullptr;
}

void quant_matmul_group(hip::Stream& stream, const QuantMatmulGroupRung& rung, const QuantMatmulGroupProblem& problem,
                        const QuantMatmulGroupArgs& args) {
  run_rung("quant_matmul_group", stream, rung, problem, args);
}

}  // namespace greta
