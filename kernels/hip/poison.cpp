#include "kernels/hip/poison.hpp"

#include <cmath>
#include <cstring>

namespace greta::hip {
namespace {

/// 1 .. 2^bits - 1, so that the payload tells poison from a NaN the hardware made.
uint32_t payload(AllocationId id, unsigned bits) {
  const uint32_t range = (1u << bits) - 1;
  return id == 0 ? range : static_cast<uint32_t>((id - 1) % range) + 1;
}

uint32_t twice(uint32_t half) { return half | half << 16; }

}  // namespace

uint32_t poison_pattern(DType dtype, AllocationId id, ExecConfig::Poison poison) {
  const bool nan = poison == ExecConfig::Poison::kNan;
  switch (dtype) {
    case DType::kF32:
    case DType::kQ8Act256:
    case DType::kQ8Act32:
      return nan ? 0x7fc00000u | payload(id, 16) : 0x7149f2cau;
    case DType::kF64:  // both halves: the high one makes the NaN
      return nan ? 0x7ff80000u | payload(id, 16) : 0x46293e59u;
    case DType::kF16:
    case DType::kQ4K:
    case DType::kQ6K:
    case DType::kQ8_0:
      return twice(nan ? 0x7e00u | payload(id, 9) : 0x7980u);
    case DType::kBF16:
      return twice(nan ? 0x7fc0u | payload(id, 6) : 0x714au);
    case DType::kI8:
    case DType::kU8:
    case DType::kI32:
    case DType::kI64:
      return nan ? 0xa5a5a5a5u : 0x5a5a5a5au;
  }
  return 0xa5a5a5a5u;
}

std::string name_poison(float value) {
  if (!std::isnan(value)) return {};
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  bits &= 0x7fffffffu;
  std::string names;
  for (const Allocation& a : live_allocations()) {
    const uint32_t pattern = poison_pattern(a.dtype, a.id, ExecConfig::Poison::kNan);
    uint32_t wide = 0;
    if (a.dtype == DType::kF32) wide = pattern;
    if (a.dtype == DType::kF16) wide = 0x7f800000u | (pattern & 0x3ffu) << 13;
    if (a.dtype == DType::kBF16) wide = pattern & 0xffff0000u;
    if (wide != bits) continue;
    names += names.empty() ? "poison of '" : " or '";
    names += a.name + "'";
  }
  return names;
}

}  // namespace greta::hip
