#include "model/weight_damage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/hip/error.hpp"
#include "kernels/tile/quant_blocks.hpp"
#include "reference/quant_blocks.hpp"

namespace greta::model {
namespace {

/// Exchanges the six-bit scales of sub-blocks 0 and 1 of every superblock: what a decoder with a wrong index would
/// read.
void swap_sub_block_scales(std::vector<char>& bytes) {
  for (size_t at = 0; at + sizeof(BlockQ4K) <= bytes.size(); at += sizeof(BlockQ4K)) {
    BlockQ4K block;
    std::memcpy(&block, bytes.data() + at, sizeof block);
    const uint8_t first = block.scales[0], second = block.scales[1];
    block.scales[0] = static_cast<uint8_t>((first & 0xc0) | (second & 0x3f));
    block.scales[1] = static_cast<uint8_t>((second & 0xc0) | (first & 0x3f));
    std::memcpy(bytes.data() + at, &block, sizeof block);
  }
}

/// The matrix with value (r, c) taken from place from(r, c) of its values as one list, stored again in its own type.
template <class From>
std::vector<char> rearranged(const GgufTensor& t, From from) {
  const auto rows = static_cast<size_t>(t.n_rows()), cols = static_cast<size_t>(t.row_length());
  const size_t row_bytes = reference::row_bytes(t.type, t.row_length());
  std::vector<float> flat(rows * cols), row(cols);
  for (size_t r = 0; r < rows; ++r)
    reference::dequantise_row(t.type, t.data.data() + r * row_bytes, std::span<float>(flat.data() + r * cols, cols));
  std::vector<char> out(t.data.size());
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c) row[c] = flat[from(r, c)];
    (void)reference::quantise_row(t.type, row, out.data() + r * row_bytes);
  }
  return out;
}

}  // namespace

LoadFault load_fault_of(Defect defect) {
  switch (defect) {
    case Defect::kSubBlockScaleSwapped:
      return {WeightDamage::kSubBlockScales, "blk.0.attn_q.weight", ""};
    case Defect::kWeightTransposed:
      return {WeightDamage::kTransposed, "blk.1.attn_k.weight", ""};
    case Defect::kWeightRowShifted:
      return {WeightDamage::kNextRow, "blk.2.ffn_gate.weight", ""};
    case Defect::kWeightBlockShifted:
      return {WeightDamage::kNextBlock, "blk.3.ffn_down.weight", ""};
    case Defect::kWeightHalvesSwapped:
      return {WeightDamage::kSwappedHalves, "blk.6.attn_v.weight", ""};
    case Defect::kOutputTied:
      return {WeightDamage::kDropped, "output.weight", ""};
    case Defect::kGateUpSwapped:
      return {WeightDamage::kOther, "blk.5.ffn_gate.weight", "blk.5.ffn_up.weight"};
    case Defect::kLayersSwapped:
      return {WeightDamage::kOther, "blk.2.attn_output.weight", "blk.4.attn_output.weight"};
    case Defect::kNormsSwapped:
      return {WeightDamage::kOther, "blk.1.attn_norm.weight", "blk.1.ffn_norm.weight"};
    case Defect::kOutputNormForgotten:
      return {WeightDamage::kOnes, "output_norm.weight", ""};
    case Defect::kEmbeddingRowShifted:
      return {WeightDamage::kNextRow, "token_embd.weight", ""};
    case Defect::kUploadTruncated:
      return {WeightDamage::kTruncated, "blk.6.ffn_up.weight", ""};
    default:
      return {};
  }
}

std::vector<char> damaged_bytes(const GgufFile& file, const GgufTensor& t, const LoadFault& fault) {
  const auto refuse = [&](const std::string& why) {
    throw_invalid(
        fmt::format("planted defect of the loader: {} is {} {}: {}", t.name, dtype_name(t.type), t.shape(), why));
  };
  const char* from = reinterpret_cast<const char*>(t.data.data());
  std::vector<char> out(from, from + t.data.size());
  const size_t rows = static_cast<size_t>(t.n_rows()), row = t.data.size() / rows;
  const size_t block = static_cast<size_t>(dtype_block_bytes(t.type));
  const auto cols = static_cast<size_t>(t.row_length());
  const auto rotated = [&](size_t by) {
    return rearranged(t, [=](size_t r, size_t c) { return r * cols + (c + by) % cols; });
  };
  switch (fault.damage) {
    case WeightDamage::kNone:
      break;
    case WeightDamage::kTransposed:
      return rearranged(t, [=](size_t r, size_t c) { return c * rows + r; });
    case WeightDamage::kNextRow:
      std::rotate(out.begin(), out.begin() + static_cast<ptrdiff_t>(row), out.end());
      break;
    case WeightDamage::kNextBlock:
      return rotated(static_cast<int64_t>(cols) > dtype_block_values(t.type) && dtype_block_values(t.type) > 1
                         ? static_cast<size_t>(dtype_block_values(t.type))
                         : 32);
    case WeightDamage::kSwappedHalves:
      return rotated(cols / 2);
    case WeightDamage::kSubBlockScales:
      if (t.type != DType::kQ4K) refuse("the defect needs q4_k");
      swap_sub_block_scales(out);
      break;
    case WeightDamage::kTruncated:
      out.resize(out.size() * 3 / 4 / block * block);
      break;
    case WeightDamage::kOnes: {
      const std::vector<float> ones(static_cast<size_t>(t.row_length()), 1.0f);
      for (size_t r = 0; r < rows; ++r) (void)reference::quantise_row(t.type, ones, out.data() + r * row);
      break;
    }
    case WeightDamage::kDropped:
      break;
    case WeightDamage::kOther: {
      const GgufTensor* other = file.find_tensor(t.name == fault.tensor ? fault.other : fault.tensor);
      if (other == nullptr || other->type != t.type || other->data.size() != t.data.size())
        refuse(fmt::format("{} is no tensor of the same type and size", fault.other));
      const char* bytes = reinterpret_cast<const char*>(other->data.data());
      out.assign(bytes, bytes + other->data.size());
      break;
    }
  }
  return out;
}

}  // namespace greta::model
