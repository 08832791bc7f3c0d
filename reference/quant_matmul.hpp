// Quantised matmul: oracle and twin. Formula, shapes and arithmetic: kernels/quant_matmul/quant_matmul_problem.hpp.
//
// weights  n_out rows of problem.weights as stored (reference/quant_blocks.hpp);  x [m, n_in] values of problem.x
//
// Oracle     Y in double from the dequantised weights and, where the weights are quantised, from the dequantised 8-bit
//            activations: quantising X is part of the operator, so the bound holds no quantisation error.
// Bound      Sums inside a block are integers and exact; what is left is the chain over blocks. With
//            B = sum over blocks of |d dx isum| + |dmin dx msum|:
//              q4_k  two links a superblock; the product of scales rounds, and float(isum) where it passes 2^24:
//                    gamma(2 n_superblocks + 2) B
//              q6_k  gamma(n_superblocks + 2) B
//              q8_0  a chain of 8, one of ceil(n_blocks / 8) groups, the product of scales:
//                    gamma(8 + ceil(n_blocks / 8) + 1) B
//              f16, bf16, f32   a lane's chain of 4 ceil(n_in / 256) links and a tree of 6 levels:
//                    gamma(4 ceil(n_in / 256) + 6) sum |w x|
//                    on matrix tiles ("mma_f32"): gamma(r(n_in)) sum |w x|, r(n) = matrix_coefficient of n rounded up
//                    to runs of 32 (matrix_machine.hpp)
//            Scales whose product is subnormal round absolutely: 2^-150 (|isum| + |msum|). Then the rounding to y.
#pragma once

#include <string_view>

#include "kernels/quant_matmul/quant_matmul_problem.hpp"
#include "reference/matrix_machine.hpp"
#include "reference/rounding.hpp"

namespace greta::reference {

/// Whether an arithmetic id of quantised matmul is one of matrix tiles with an f32 accumulator. Throws kInvalidArgument
/// for an id that is not of the problem's weights; "" is the id of vector units.
bool matmul_on_matrix_tiles(const QuantMatmulProblem& problem, std::string_view arithmetic);

Bounded quant_matmul_oracle(const QuantMatmulProblem& problem, const void* weights, std::span<const float> x,
                            std::string_view arithmetic = {});
/// `machine` is for "mma_f32".
std::vector<float> quant_matmul_twin(const QuantMatmulProblem& problem, const void* weights, std::span<const float> x,
                                     std::string_view arithmetic = {}, MatrixMachine machine = {});

}  // namespace greta::reference
