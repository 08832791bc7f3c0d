#include "kernels/quant_matmul/quant_matmul_problem.hpp"

#include <fmt/format.h>

namespace greta {
namespace {
bool is_float(DType t) { return t == DType::kF16 || t == DType::kBF16 || t == DType::kF32; }
}  // namespace

void validate(const QuantMatmulProblem& p) {
  const auto refuse = [&](const char* field, const std::string& got, const std::string& want) {
    throw_invalid(fmt::format("quant_matmul: {} must be {}, got {} ({})", field, want, got, to_line(p)));
  };
  if (!p.quantised() && !is_float(p.weights))
    refuse("weights", std::string(dtype_name(p.weights)), "q4_k, q6_k, q8_0, f16, bf16 or f32");
  if (!is_float(p.x)) refuse("x", std::string(dtype_name(p.x)), "f16, bf16 or f32");
  if (!is_float(p.y)) refuse("y", std::string(dtype_name(p.y)), "f16, bf16 or f32");
  if (p.m < 1) refuse("m", std::to_string(p.m), "at least 1");
  if (p.n_out < 1) refuse("n_out", std::to_string(p.n_out), "at least 1");
  const int block = dtype_block_values(p.weights);
  if (p.n_in < 1 || p.n_in % block)
    refuse("n_in", std::to_string(p.n_in),
           fmt::format("a positive multiple of {} for {} weights", block, dtype_name(p.weights)));
}

}  // namespace greta
