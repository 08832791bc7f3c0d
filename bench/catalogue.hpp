// The operators that are benchmarked: each file bench/<operator>_bench.cpp adds its cases; a new one is a line here
// and in catalogue.cpp.
#pragma once

#include "bench/bench_case.hpp"
#include "kernels/quant_matmul/quant_matmul_group.hpp"
#include "kernels/rms_norm/rms_norm.hpp"

namespace greta::bench {

void add_embedding(std::vector<BenchCase>& to);
void add_rms_norm(std::vector<BenchCase>& to);
void add_add_rms_norm(std::vector<BenchCase>& to);
void add_quantize_activations(std::vector<BenchCase>& to);
void add_quant_matmul(std::vector<BenchCase>& to);
void add_quant_matmul_group(std::vector<BenchCase>& to);
void add_rope(std::vector<BenchCase>& to);
void add_decode_attention(std::vector<BenchCase>& to);
void add_kv_store(std::vector<BenchCase>& to);
void add_rope_kv_store(std::vector<BenchCase>& to);
void add_prefill_attention(std::vector<BenchCase>& to);
void add_swiglu(std::vector<BenchCase>& to);
void add_swiglu_quantize(std::vector<BenchCase>& to);
void add_residual_add(std::vector<BenchCase>& to);
void add_argmax(std::vector<BenchCase>& to);

/// For tests, which hand it rungs that go wrong.
std::unique_ptr<Workload> make_rms_norm_workload(const RmsNormRung& rung, const RmsNormProblem& problem,
                                                 const Options& options);
std::unique_ptr<Workload> make_quant_matmul_workload(const QuantMatmulRung& rung, const QuantMatmulProblem& problem,
                                                     const Options& options);
std::unique_ptr<Workload> make_quant_matmul_group_workload(const QuantMatmulGroupRung& rung,
                                                           const QuantMatmulGroupProblem& problem,
                                                           const Options& options);

}  // namespace greta::bench
