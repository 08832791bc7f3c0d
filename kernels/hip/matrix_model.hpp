// Bit models of matrix instructions: what f16 and bf16 tiles with an f32 accumulator come out as, bit for bit, on a
// machine that is not here. HIP-free; the host executor runs matrix tiles with it and the reference predicts with it.
//
//   d[i][j] = c[i][j] + sum over k of a[i][k] * b[k][j]
//
// An element depends only on its row of A, its column of B and its C. Products are exact everywhere; the models differ
// in how many terms are added at once, and in what is cut off when terms are brought to one exponent:
//
//   kCdna3   gfx942 v_mfma_f32_{16x16x16,32x32x8}_{f16,bf16}. k in blocks of 8, an f32 between blocks. In a block:
//            E = largest product exponent (a zero operand counts with exponent -126); products cut to 24 fraction bits
//            below 2^E, toward zero, and summed exactly. With M = max(E, exponent of C) the sum is cut to 31 fraction
//            bits below 2^M and C to 24, both toward minus infinity; added exactly; rounded to nearest even.
//   kHopper  sm_90 mma.sync m16n8k16. k in blocks of 16. E = largest exponent of the products that are not zero and of
//            C; all of them cut to 25 fraction bits below 2^E, toward zero; summed exactly; rounded toward zero.
//   kFmaf    no machine: an f32 fma chain over ascending k.
//
// Subnormals count fully on input and output. A product's exponent is the sum of its operands' (subnormals: the
// smallest normal one), so the product lies in [0, 4) times that power of two. The sign of a result that is exactly
// zero is not modelled (+0 here). Not finite: kCdna3 gives NaN or infinity where the sum in double does, and infinity
// for a bf16 product of 2^128 or more; kHopper gives NaN 0x7fffffff.
//
// Sources: Xie et al., "MMA-Sim" (arXiv 2511.10909), for both; Khattak and Mikaitis (arXiv 2512.07004) for Hopper.
// Checked: kHopper against mma.sync on an H200, 6.38 million finite results, no difference. kCdna3 against no device
// yet.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/hip/dtype.hpp"

namespace greta {

enum class MatrixModel { kCdna3, kHopper, kFmaf };

/// "cdna3", "hopper", "fmaf".
std::string_view matrix_model_name(MatrixModel model);
/// The model of that name; throws kInvalidArgument listing the names there are.
MatrixModel matrix_model_from_name(std::string_view name);

/// Terms added at once: the instructions of a longer sum chain through f32 at multiples of this (1 for kFmaf).
int matrix_model_block(MatrixModel model);

/// A tile, or a whole product of any size (k longer than one instruction chains in ascending order). Row-major:
/// a [m][k], b [k][n], c and d [m][n]; d may be c. `dtype` is kF16 or kBF16, a and b its bits.
/// `bits_short` makes a wrong machine, one that keeps so many fraction bits fewer when terms are brought to one
/// exponent (0..2; no effect on kFmaf): the control of a comparison with the model, which must find it out.
void matrix_multiply(MatrixModel model, DType dtype, int m, int n, int k, const uint16_t* a, const uint16_t* b,
                     const float* c, float* d, int bits_short = 0);

/// One element: c + sum over i < k of a[i] * b[i].
inline float matrix_dot(MatrixModel model, DType dtype, int k, const uint16_t* a, const uint16_t* b, float c) {
  float d;
  matrix_multiply(model, dtype, 1, 1, k, a, b, &c, &d);
  return d;
}

}  // namespace greta
