// Activation blocks as verification compares them: taken apart into d, q and sums, so that a mismatch says which field
// of which block. For the operators whose output is blocks.
#pragma once

#include "kernels/tile/quant_blocks.hpp"
#include "verify/operator.hpp"

namespace greta::verify {

/// Shapes of the fields of [rows, blocks] blocks of the type, in the order of the fields.
inline std::vector<Tensor> field_shapes(DType type, int64_t rows, int64_t blocks) {
  const int values = dtype_block_values(type);
  std::vector<Tensor> out = {Tensor("d", DType::kF32, {{"row", rows}, {"block", blocks}}),
                             Tensor("q", DType::kI8, {{"row", rows}, {"block", blocks}, {"i", values}})};
  if (type == DType::kQ8Act256)
    out.emplace_back("sum", DType::kI32, std::vector<Dim>{{"row", rows}, {"block", blocks}, {"g", 16}});
  return out;
}

/// d, q and (blocks of 256) sums of the blocks in `bytes`.
inline std::vector<Tensor> block_fields(DType type, int64_t rows, int64_t blocks, const std::vector<uint8_t>& bytes) {
  std::vector<Tensor> out = field_shapes(type, rows, blocks);
  for (int64_t b = 0; b < rows * blocks; ++b) {
    if (type == DType::kQ8Act32) {
      const auto* block = reinterpret_cast<const BlockQ8Act32*>(bytes.data()) + b;
      std::memcpy(out[0].bytes.data() + b * 4, &block->d, 4);
      std::memcpy(out[1].bytes.data() + b * kSmallBlock, block->qs, kSmallBlock);
      continue;
    }
    const auto* block = reinterpret_cast<const BlockQ8Act256*>(bytes.data()) + b;
    std::memcpy(out[0].bytes.data() + b * 4, &block->d, 4);
    std::memcpy(out[1].bytes.data() + b * kSuperblock, block->qs, kSuperblock);
    for (int g = 0; g < 16; ++g) out[2].set(b * 16 + g, static_cast<float>(block->sums[g]));
  }
  return out;
}

/// An output of blocks as one output a field.
inline void append_fields(DType type, const Output& raw, std::vector<Output>& to) {
  const int64_t rows = raw.got.dims[0].size, blocks = raw.got.dims[1].size;
  std::vector<Tensor> got = block_fields(type, rows, blocks, raw.got.bytes),
                      before = block_fields(type, rows, blocks, raw.around.before.bytes);
  for (size_t i = 0; i < got.size(); ++i) to.push_back({std::move(got[i]), {std::move(before[i]), true, {}}});
}

/// Fields of blocks whose values are d * q with q whole and |q| = 127 somewhere: exact in any order.
inline std::vector<Tensor> exact_fields(DType type, int64_t rows, int64_t width, std::span<const float> d,
                                        std::span<const float> q) {
  const int values = dtype_block_values(type);
  std::vector<Tensor> out = field_shapes(type, rows, width / values);
  out[0].set_floats(d);
  for (size_t i = 0; i < q.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    out[1].set(at, q[i]);
    if (values == kSuperblock) out[2].set(at / 16, static_cast<float>(out[2].number(at / 16)) + q[i]);
  }
  return out;
}

/// Pieces of a relation that compare blocks [here, here + n) of the fields, which start at output `first`.
inline void add_field_pieces(DType type, size_t first, int64_t here, int64_t there, int64_t n, Relation::Step& step) {
  const int64_t values = dtype_block_values(type);
  step.pieces.push_back({first, here, there, n});
  step.pieces.push_back({first + 1, here * values, there * values, n * values});
  if (type == DType::kQ8Act256) step.pieces.push_back({first + 2, here * 16, there * 16, n * 16});
}

}  // namespace greta::verify
