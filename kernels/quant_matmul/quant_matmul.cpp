#include "kernels/quant_matmul/quant_matmul.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void gemv_v1(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
void gemv_v3(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
void gemv_v2(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
void gemm_v1(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
void gemm_v2(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
void gemm_v3(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
void gemm_v4(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
void gemv_float_v1(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
void gemm_float_v1(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
void gemv_float_v2(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);
void gemm_float_v2(hip::Stream&, const QuantMatmulProblem&, const QuantMatmulArgs&);

namespace {

/// Above this many rows of X a weight tile is shared by enough tokens to be worth a gemm; on GPUs, of types with a
/// GEMM v3 that is faster than eight rows of gemv, half as many (H200: docs/experiments_quant_matmul.md).
int64_t gemv_rows(const QuantMatmulProblem& p) {
  return hip::platform_name() != "host" && (p.weights == DType::kQ4K || p.weights == DType::kQ6K) ? 4 : 8;
}
/// Up to as many, waiting for weights takes longer than multiplying.
constexpr int64_t kFewRows = 64;

std::string only(const QuantMatmulProblem& p, DType weights) {
  return p.weights == weights
             ? std::string()
             : "weights must be " + std::string(dtype_name(weights)) + ", got " + std::string(dtype_name(p.weights));
}
std::string q4_k(const QuantMatmulProblem& p) { return only(p, DType::kQ4K); }
std::string q6_k(const QuantMatmulProblem& p) { return only(p, DType::kQ6K); }
std::string q8_0(const QuantMatmulProblem& p) { return only(p, DType::kQ8_0); }
/// Rungs made for few rows of X.
template <std::string (*kAccepts)(const QuantMatmulProblem&)>
std::string few_rows(const QuantMatmulProblem& p) {
  std::string refusal = kAccepts(p);
  if (refusal.empty() && p.m > kFewRows) refusal = "m must be at most 64, got " + std::to_string(p.m);
  return refusal;
}
std::string floats(const QuantMatmulProblem& p) {
  return !p.quantised() ? std::string() : "weights must be f16, bf16 or f32, got " + std::string(dtype_name(p.weights));
}
/// Of gemv and gemm alike and never of m: which arithmetic a matrix has must not depend on the rows of X.
std::string matrix_tiles(const QuantMatmulProblem& p) {
  if (p.weights != DType::kF16 && p.weights != DType::kBF16)
    return "weights must be f16 or bf16, got " + std::string(dtype_name(p.weights));
  if (p.x != p.weights)
    return "x must be " + std::string(dtype_name(p.weights)) + " as the weights are, got " +
           std::string(dtype_name(p.x));
  return p.n_in % 8 == 0 ? std::string() : "n_in must be a multiple of 8, got " + std::to_string(p.n_in);
}

constexpr const char* kGemv = "eight lanes a superblock, integer partial sums through LDS";
constexpr const char* kGemv2 = "loads of several rows in flight, sums reduced in registers";
constexpr const char* kGemm = "weight tile unpacked to bytes in LDS, shared by 16 to 64 tokens";
constexpr const char* kGemm2 = "int8 matrix tiles, two LDS buffers";
constexpr const char* kGemm3 = "a superblock a wave, operands straight from memory, few rows of X";
constexpr const char* kGemm4 = "superblocks stream through LDS, unpacked once for all tokens";
constexpr QuantMatmulRung kLadder[] = {
    {"gemv_q4_k_v1", gemv_v1, q4_k, "q4_k_i8", kGemv},
    {"gemv_q4_k_v2", gemv_v2, q4_k, "q4_k_i8", kGemv2},
    {"gemv_q4_k_v3", gemv_v3, q4_k, "q4_k_i8", "four lanes a superblock: scales decoded once for 64 values"},
    {"gemm_q4_k_v1", gemm_v1, q4_k, "q4_k_i8", kGemm},
    {"gemm_q4_k_v2", gemm_v2, q4_k, "q4_k_i8", kGemm2},
    {"gemm_q4_k_v3", gemm_v3, few_rows<q4_k>, "q4_k_i8", kGemm3},
    {"gemm_q4_k_v4", gemm_v4, few_rows<q4_k>, "q4_k_i8", kGemm4},
    {"gemv_q6_k_v1", gemv_v1, q6_k, "q6_k_i8", kGemv},
    {"gemv_q6_k_v2", gemv_v2, q6_k, "q6_k_i8", kGemv2},
    {"gemm_q6_k_v1", gemm_v1, q6_k, "q6_k_i8", kGemm},
    {"gemm_q6_k_v2", gemm_v2, q6_k, "q6_k_i8", kGemm2},
    {"gemm_q6_k_v3", gemm_v3, few_rows<q6_k>, "q6_k_i8", kGemm3},
    {"gemm_q6_k_v4", gemm_v4, few_rows<q6_k>, "q6_k_i8", kGemm4},
    {"gemv_q8_0_v1", gemv_v1, q8_0, "q8_0_i8", kGemv},
    {"gemv_q8_0_v2", gemv_v2, q8_0, "q8_0_i8", kGemv2},
    {"gemm_q8_0_v1", gemm_v1, q8_0, "q8_0_i8", kGemm},
    {"gemm_q8_0_v2", gemm_v2, q8_0, "q8_0_i8", kGemm2},
    {"gemm_q8_0_v3", gemm_v3, few_rows<q8_0>, "q8_0_i8", kGemm3},
    {"gemv_float_v1", gemv_float_v1, floats, "f32_lanes64", "a thread a logical lane (or two), tree through LDS"},
    {"gemm_float_v1", gemm_float_v1, floats, "f32_lanes64", "4 weight rows x 4 tokens in registers"},
    {"gemv_float_v2", gemv_float_v2, matrix_tiles, "mma_f32",
     "matrix tiles of 16 padded rows, weights from memory to operands"},
    {"gemm_float_v2", gemm_float_v2, matrix_tiles, "mma_f32",
     "matrix tiles out of LDS, the next tiles copied meanwhile"},
};

/// Whether a tile of 64 weight rows a workgroup, as of gemm v2, leaves CUs without work.
bool few_workgroups(const QuantMatmulProblem& p) { return (p.n_out + 63) / 64 < hip::device_info().compute_units; }

/// Of the GEMMs for few rows of X, what is faster on an H200 (docs/experiments_quant_matmul.md). v2 reads X least where
/// its tiles of 64 tokens are filled and there are workgroups enough.
bool suits(decltype(QuantMatmulRung::launch) launch, const QuantMatmulProblem& p) {
  if (launch == gemm_v3) return p.m <= 32 || few_workgroups(p);
  if (launch == gemm_v4) {
    if (p.m <= 16) return p.weights == DType::kQ4K && !few_workgroups(p);
    return p.m <= 32 || few_workgroups(p) || p.weights == DType::kQ6K;
  }
  return true;
}

}  // namespace

std::span<const QuantMatmulRung> quant_matmul_ladder() { return kLadder; }

const QuantMatmulRung& quant_matmul_default_rung(const QuantMatmulProblem& problem) {
  const bool gemm = problem.m > gemv_rows(problem), host = hip::platform_name() == "host";
  const QuantMatmulRung* chosen = nullptr;
  for (const QuantMatmulRung& rung : kLadder)
    if (rung.accepts(problem).empty() && std::string_view(rung.name).starts_with(gemm ? "gemm" : "gemv") &&
        !(chosen && host && std::string_view(chosen->arithmetic) == rung.arithmetic) && suits(rung.launch, problem))
      chosen = &rung;
  if (chosen) return *chosen;
  throw_invalid("quant_matmul: no rung for weights " + std::string(dtype_name(problem.weights)));
}

void quant_matmul(hip::Stream& stream, const QuantMatmulRung& rung, const QuantMatmulProblem& problem,
                  const QuantMatmulArgs& args) {
  run_rung("quant_matmul", stream, rung, problem, args);
}

}  // namespace greta
