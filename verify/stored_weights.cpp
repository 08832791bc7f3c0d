#include "verify/stored_weights.hpp"

#include "reference/quant_blocks.hpp"
#include "reference/random.hpp"

namespace greta::verify {
namespace {

using reference::Random;

constexpr float kUnit = 0x1p-6f;

int between(Random& random, int low, int high) {
  return low + static_cast<int>(random.below(static_cast<uint64_t>(high - low + 1)));
}

BlockQ4K whole_q4_k(Random& random, std::vector<int32_t>& values) {
  reference::Q4KParts parts{};
  parts.d = kUnit, parts.dmin = kUnit;
  const int scale = between(random, 0, 3), min = between(random, 0, 3);  // neighbours differ: a swap shows
  for (int j = 0; j < 8; ++j) parts.scale[j] = (scale + j) % 4, parts.min[j] = (min + 3 * j) % 4;
  for (int i = 0; i < kSuperblock; ++i) {
    parts.q[i] = between(random, 0, 15);
    values.push_back(parts.scale[i / 32] * parts.q[i] - parts.min[i / 32]);
  }
  return reference::pack(parts);
}

BlockQ6K whole_q6_k(Random& random, std::vector<int32_t>& values) {
  reference::Q6KParts parts{};
  parts.d = kUnit;
  const int first = between(random, 0, 4);
  for (int g = 0; g < 16; ++g) parts.scale[g] = (first + g) % 5 - 2;
  for (int i = 0; i < kSuperblock; ++i) {
    parts.q[i] = between(random, -32, 31);
    values.push_back(parts.scale[i / 16] * parts.q[i]);
  }
  return reference::pack(parts);
}

BlockQ8_0 whole_q8_0(Random& random, std::vector<int32_t>& values) {
  BlockQ8_0 block;
  block.d = half_from_float(kUnit);
  for (int8_t& q : block.qs) {
    q = static_cast<int8_t>(between(random, -40, 40));
    values.push_back(q);
  }
  return block;
}

}  // namespace

double whole_unit(DType type) { return is_float(type) ? 1.0 : static_cast<double>(kUnit); }

Tensor weights_shape(std::string name, DType type, int64_t rows, int64_t row_length) {
  return Tensor(std::move(name), type, {{"row", rows}, {"block", row_length / dtype_block_values(type)}});
}

Tensor random_weights(Tensor shape, uint64_t seed) {
  const int64_t rows = shape.dims[0].size, length = shape.dims[1].size * dtype_block_values(shape.dtype);
  const size_t bytes = reference::row_bytes(shape.dtype, length);
  for (int64_t r = 0; r < rows; ++r)
    reference::random_row(shape.dtype, r % 2 ? reference::RandomBlocks::kAnyBits : reference::RandomBlocks::kWeights,
                          0.05f, reference::substream(seed, static_cast<uint64_t>(r)), length,
                          shape.bytes.data() + static_cast<size_t>(r) * bytes);
  return shape;
}

Tensor whole_weights(Tensor shape, uint64_t seed, std::vector<int32_t>& values) {
  Random random(seed);
  for (int64_t i = 0; i < shape.count(); ++i) switch (shape.dtype) {
      case DType::kQ4K:
        shape.as<BlockQ4K>()[static_cast<size_t>(i)] = whole_q4_k(random, values);
        break;
      case DType::kQ6K:
        shape.as<BlockQ6K>()[static_cast<size_t>(i)] = whole_q6_k(random, values);
        break;
      case DType::kQ8_0:
        shape.as<BlockQ8_0>()[static_cast<size_t>(i)] = whole_q8_0(random, values);
        break;
      default:
        values.push_back(between(random, -2, 2));
        shape.set(i, static_cast<float>(values.back()));
    }
  return shape;
}

}  // namespace greta::verify
