#include "reference/quant_blocks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/hip/error.hpp"

namespace greta::reference {
namespace {

double half_value(half_t h) { return half_to_float(h); }

/// Reads block i of a row that may be unaligned.
template <class Block>
Block block_at(const void* row, int64_t i) {
  Block block;
  std::memcpy(&block, static_cast<const char*>(row) + i * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
  return block;
}

/// The float output is the double rounded once, so both come from one routine.
template <class T>
void dequantise(DType type, const void* row, std::span<T> out) {
  row_bytes(type, static_cast<int64_t>(out.size()));  // checks type and length
  const auto n = static_cast<int64_t>(out.size());
  switch (type) {
    case DType::kF32:
      for (int64_t i = 0; i < n; ++i) out[i] = block_at<float>(row, i);
      return;
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) out[i] = half_to_float(block_at<half_t>(row, i));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < n; ++i) out[i] = bf16_to_float(block_at<bf16_t>(row, i));
      return;
    case DType::kQ8_0:
      for (int64_t b = 0; b < n / kSmallBlock; ++b) {
        const auto block = block_at<BlockQ8_0>(row, b);
        const double d = half_value(block.d);
        for (int i = 0; i < kSmallBlock; ++i) out[b * kSmallBlock + i] = static_cast<T>(d * block.qs[i]);
      }
      return;
    case DType::kQ4K:
      for (int64_t b = 0; b < n / kSuperblock; ++b) {
        const Q4KParts p = unpack(block_at<BlockQ4K>(row, b));
        for (int i = 0; i < kSuperblock; ++i) {
          const int j = i / 32;
          out[b * kSuperblock + i] = static_cast<T>(p.d * p.scale[j] * p.q[i] - p.dmin * p.min[j]);
        }
      }
      return;
    case DType::kQ6K:
      for (int64_t b = 0; b < n / kSuperblock; ++b) {
        const Q6KParts p = unpack(block_at<BlockQ6K>(row, b));
        for (int i = 0; i < kSuperblock; ++i) out[b * kSuperblock + i] = static_cast<T>(p.d * p.scale[i / 16] * p.q[i]);
      }
      return;
    default:
      return;  // refused by row_bytes
  }
}

/// d and the quants of one activation block of `n` values, zero-padded to `block`; the definition in
/// kernels/tile/quant_blocks.hpp, in its order. Every operation is one IEEE f32 operation.
float quantise_activation_block(const float* x, int n, int block, int8_t* qs) {
  std::memset(qs, 0, static_cast<size_t>(block));
  uint32_t amax_bits = 0;  // the order of bit patterns puts infinity and NaN above every finite number
  for (int i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, &x[i], 4);
    amax_bits = std::max(amax_bits, bits & 0x7fffffffu);
  }
  if (amax_bits >= 0x7f800000u) return std::numeric_limits<float>::quiet_NaN();
  float amax;
  std::memcpy(&amax, &amax_bits, 4);
  const float r = amax == 0.0f ? 0.0f : 127.0f / amax;
  if (amax == 0.0f || std::isinf(r)) return 0.0f;
  for (int i = 0; i < n; ++i) {
    const float scaled = x[i] * r;
    qs[i] = static_cast<int8_t>(std::nearbyint(scaled));
  }
  return amax / 127.0f;
}

template <class Block, int kValues>
void dequantise_activation_blocks(std::span<const Block> in, std::span<double> out) {
  if (in.size() * kValues < out.size())
    throw_invalid(fmt::format("dequantise_activations: {} blocks of {} values hold fewer than the {} asked for",
                              in.size(), kValues, out.size()));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<double>(in[i / kValues].d) * in[i / kValues].qs[i % kValues];
}

}  // namespace

bool is_weight_type(DType type) {
  switch (type) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kQ8_0:
    case DType::kQ4K:
    case DType::kQ6K:
      return true;
    default:
      return false;
  }
}

size_t row_bytes(DType type, int64_t n_values) {
  if (!is_weight_type(type))
    throw_invalid(fmt::format("type {} holds no weights; wanted f32, f16, bf16, q8_0, q4_k or q6_k", dtype_name(type)));
  const int block = dtype_block_values(type);
  if (n_values <= 0 || n_values % block != 0)
    throw_invalid(fmt::format("{} row of {} values is not a positive multiple of the {}-value block", dtype_name(type),
                              n_values, block));
  return static_cast<size_t>(n_values / block) * static_cast<size_t>(dtype_block_bytes(type));
}

void dequantise_row(DType type, const void* row, std::span<double> out) { dequantise(type, row, out); }
void dequantise_row(DType type, const void* row, std::span<float> out) { dequantise(type, row, out); }

std::vector<double> dequantise_matrix(DType type, const void* data, int64_t n_rows, int64_t row_length) {
  const size_t bytes = row_bytes(type, row_length);
  std::vector<double> out(static_cast<size_t>(n_rows * row_length));
  for (int64_t r = 0; r < n_rows; ++r)
    dequantise_row(type, static_cast<const char*>(data) + static_cast<size_t>(r) * bytes,
                   std::span(out).subspan(static_cast<size_t>(r * row_length), static_cast<size_t>(row_length)));
  return out;
}

void quantise_activations(std::span<const float> in, BlockQ8Act256* out) {
  for (size_t start = 0; start < in.size(); start += kSuperblock, ++out) {
    const int n = static_cast<int>(std::min<size_t>(kSuperblock, in.size() - start));
    *out = {};
    out->d = quantise_activation_block(in.data() + start, n, kSuperblock, out->qs);
    for (int g = 0; g < 16; ++g) {
      int sum = 0;
      for (int i = 0; i < 16; ++i) sum += out->qs[16 * g + i];
      out->sums[g] = static_cast<int16_t>(sum);  // |sum| <= 16 * 127
    }
  }
}

void quantise_activations(std::span<const float> in, BlockQ8Act32* out) {
  for (size_t start = 0; start < in.size(); start += kSmallBlock, ++out) {
    const int n = static_cast<int>(std::min<size_t>(kSmallBlock, in.size() - start));
    *out = {};
    out->d = quantise_activation_block(in.data() + start, n, kSmallBlock, out->qs);
  }
}

std::vector<BlockQ8Act256> quantise_activations_256(std::span<const float> in) {
  std::vector<BlockQ8Act256> out((in.size() + kSuperblock - 1) / kSuperblock);
  quantise_activations(in, out.data());
  return out;
}

std::vector<BlockQ8Act32> quantise_activations_32(std::span<const float> in) {
  std::vector<BlockQ8Act32> out((in.size() + kSmallBlock - 1) / kSmallBlock);
  quantise_activations(in, out.data());
  return out;
}

void dequantise_activations(std::span<const BlockQ8Act256> in, std::span<double> out) {
  dequantise_activation_blocks<BlockQ8Act256, kSuperblock>(in, out);
}
void dequantise_activations(std::span<const BlockQ8Act32> in, std::span<double> out) {
  dequantise_activation_blocks<BlockQ8Act32, kSmallBlock>(in, out);
}

Q4KParts unpack(const BlockQ4K& block) {
  Q4KParts p;
  p.d = half_value(block.d);
  p.dmin = half_value(block.dmin);
  const uint8_t* s = block.scales;
  for (int j = 0; j < 4; ++j) {
    p.scale[j] = s[j] & 63;
    p.min[j] = s[j + 4] & 63;
    p.scale[j + 4] = (s[j + 8] & 15) | (s[j] >> 6) << 4;
    p.min[j + 4] = (s[j + 8] >> 4) | (s[j + 4] >> 6) << 4;
  }
  for (int pair = 0; pair < 4; ++pair) {
    for (int i = 0; i < 32; ++i) {
      p.q[64 * pair + i] = block.qs[32 * pair + i] & 15;
      p.q[64 * pair + 32 + i] = block.qs[32 * pair + i] >> 4;
    }
  }
  return p;
}

BlockQ4K pack(const Q4KParts& p) {
  BlockQ4K block = {};
  block.d = half_from_float(static_cast<float>(p.d));
  block.dmin = half_from_float(static_cast<float>(p.dmin));
  for (int j = 0; j < 4; ++j) {
    block.scales[j] = static_cast<uint8_t>(p.scale[j] | (p.scale[j + 4] >> 4) << 6);
    block.scales[j + 4] = static_cast<uint8_t>(p.min[j] | (p.min[j + 4] >> 4) << 6);
    block.scales[j + 8] = static_cast<uint8_t>((p.scale[j + 4] & 15) | (p.min[j + 4] & 15) << 4);
  }
  for (int pair = 0; pair < 4; ++pair)
    for (int i = 0; i < 32; ++i)
      block.qs[32 * pair + i] = static_cast<uint8_t>(p.q[64 * pair + i] | p.q[64 * pair + 32 + i] << 4);
  return block;
}

Q6KParts unpack(const BlockQ6K& block) {
  Q6KParts p;
  p.d = half_value(block.d);
  for (int g = 0; g < 16; ++g) p.scale[g] = block.scales[g];
  for (int h = 0; h < 2; ++h) {
    const uint8_t* ql = block.ql + 64 * h;
    const uint8_t* qh = block.qh + 32 * h;
    int* q = p.q + 128 * h;
    for (int l = 0; l < 32; ++l) {
      q[l] = ((ql[l] & 15) | (qh[l] & 3) << 4) - 32;
      q[l + 32] = ((ql[l + 32] & 15) | (qh[l] >> 2 & 3) << 4) - 32;
      q[l + 64] = ((ql[l] >> 4) | (qh[l] >> 4 & 3) << 4) - 32;
      q[l + 96] = ((ql[l + 32] >> 4) | (qh[l] >> 6) << 4) - 32;
    }
  }
  return p;
}

BlockQ6K pack(const Q6KParts& p) {
  BlockQ6K block = {};
  block.d = half_from_float(static_cast<float>(p.d));
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<int8_t>(p.scale[g]);
  for (int h = 0; h < 2; ++h) {
    const int* q = p.q + 128 * h;
    for (int l = 0; l < 32; ++l) {
      const int a = q[l] + 32, b = q[l + 32] + 32, c = q[l + 64] + 32, e = q[l + 96] + 32;
      block.ql[64 * h + l] = static_cast<uint8_t>((a & 15) | (c & 15) << 4);
      block.ql[64 * h + 32 + l] = static_cast<uint8_t>((b & 15) | (e & 15) << 4);
      block.qh[32 * h + l] = static_cast<uint8_t>(a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (e >> 4) << 6);
    }
  }
  return block;
}

}  // namespace greta::reference
