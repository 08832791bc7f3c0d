#include "kernels/hip/dtype.hpp"

#include <immintrin.h>

#include <array>
#include <string>

#include "kernels/hip/error.hpp"

namespace greta {
namespace {

struct DTypeRow {
  DType type;
  std::string_view name;
  int block_values;
  int block_bytes;
};

// Byte counts of the quantised rows are pinned by static_asserts beside the structs (kernels/tile/quant_blocks.hpp).
constexpr std::array<DTypeRow, 13> kRows = {{
    {DType::kF32, "f32", 1, 4},
    {DType::kF16, "f16", 1, 2},
    {DType::kBF16, "bf16", 1, 2},
    {DType::kI8, "i8", 1, 1},
    {DType::kI32, "i32", 1, 4},
    {DType::kU8, "u8", 1, 1},
    {DType::kF64, "f64", 1, 8},
    {DType::kI64, "i64", 1, 8},
    {DType::kQ4K, "q4_k", 256, 144},
    {DType::kQ6K, "q6_k", 256, 210},
    {DType::kQ8_0, "q8_0", 32, 34},
    {DType::kQ8Act256, "q8_act256", 256, 304},
    {DType::kQ8Act32, "q8_act32", 32, 48},
}};

const DTypeRow& row(DType type) { return kRows[static_cast<size_t>(type)]; }

}  // namespace

std::string_view dtype_name(DType type) { return row(type).name; }
int dtype_block_values(DType type) { return row(type).block_values; }
int dtype_block_bytes(DType type) { return row(type).block_bytes; }

DType dtype_from_name(std::string_view name) {
  std::string known;
  for (const DTypeRow& r : kRows) {
    if (r.name == name) return r.type;
    known += known.empty() ? "" : ", ";
    known += r.name;
  }
  throw_invalid("unknown dtype '" + std::string(name) + "'; known: " + known);
}

float half_to_float(half_t h) { return _cvtsh_ss(h.bits); }
half_t half_from_float(float f) { return {static_cast<uint16_t>(_cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT))}; }

}  // namespace greta
