// Rows of stored weights and of quantised activations, as numbers: what every quantised operator is measured against.
//
// Weight rows   F32, F16, BF16, Q8_0, Q4_K, Q6_K as a GGUF file stores them (layouts: kernels/tile/quant_blocks.hpp).
//               A row of n values is n / dtype_block_values(type) consecutive blocks; n must be a multiple.
// To double     exact: every weight of these formats has fewer than 53 significant bits.
// To float      the double rounded once to nearest even (F32, F16, BF16 and Q8_0 are exact in float as well).
// Errors        kInvalidArgument naming the type and length when n is no positive multiple of the block or the type
//               holds no weights; from float, also for a NaN or an infinity, naming its place in the row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/hip/dtype.hpp"
#include "kernels/tile/quant_blocks.hpp"

namespace greta::reference {

/// True for the six weight types above.
bool is_weight_type(DType type);
/// Bytes of a row of n_values; throws as said above.
size_t row_bytes(DType type, int64_t n_values);

/// out[i] = value i of the row; row points to row_bytes(type, out.size()) bytes, of any alignment.
void dequantise_row(DType type, const void* row, std::span<double> out);
void dequantise_row(DType type, const void* row, std::span<float> out);
/// rows x row_length values, rows one after the other; for weight matrices that fit in memory as double.
std::vector<double> dequantise_matrix(DType type, const void* data, int64_t n_rows, int64_t row_length);

/// Writes the row as `type` into out (row_bytes(type, in.size()) bytes). Quantised types minimise the weighted squared
/// error, each value weighted by 1 + |x| / rms of its sub-block (large weights matter more); see quantise_blocks.cpp.
/// Any finite input gives valid blocks (finite d and dmin). Returns how many storage elements had to be clipped because
/// a scale (or an F16 value) is beyond the 65504 of F16; 0 for every sane model.
int64_t quantise_row(DType type, std::span<const float> in, void* out);

enum class RandomBlocks {
  kWeights,  ///< values look normal with the given sigma and mean 0; what a synthetic model is made of
  kAnyBits,  ///< every field takes every value (zero and largest scales, all quants); only d and dmin are kept finite,
             ///< of either sign, and so that |w| stays below about 64 sigma. For tests.
};
/// A random row of n_values, the same bits for the same seed on every machine; about 3 GB/s of blocks on one core.
void random_row(DType type, RandomBlocks kind, float sigma, uint64_t seed, int64_t n_values, void* out);

/// Activations to 8 bits: the project's definition (kernels/tile/quant_blocks.hpp), bit for bit. `in` is one row; its
/// last block is padded with zeros. out has ceil(in.size() / 256) or ceil(in.size() / 32) blocks.
void quantise_activations(std::span<const float> in, BlockQ8Act256* out);
void quantise_activations(std::span<const float> in, BlockQ8Act32* out);
std::vector<BlockQ8Act256> quantise_activations_256(std::span<const float> in);
std::vector<BlockQ8Act32> quantise_activations_32(std::span<const float> in);
/// out[i] = d * q, exact in double; in.size() * block >= out.size().
void dequantise_activations(std::span<const BlockQ8Act256> in, std::span<double> out);
void dequantise_activations(std::span<const BlockQ8Act32> in, std::span<double> out);

/// The integer parts of a block, unpacked: for oracles and tests that need to see them.
struct Q4KParts {
  double d, dmin;
  int scale[8], min[8];  ///< 0..63
  int q[256];            ///< 0..15; value i belongs to sub-block i / 32
};
struct Q6KParts {
  double d;
  int scale[16];  ///< -128..127
  int q[256];     ///< -32..31 (the stored number less 32); value i belongs to sub-block i / 16
};
Q4KParts unpack(const BlockQ4K& block);
Q6KParts unpack(const BlockQ6K& block);
/// The inverse of unpack; d and dmin must be representable in F16.
BlockQ4K pack(const Q4KParts& parts);
BlockQ6K pack(const Q6KParts& parts);

}  // namespace greta::reference
