// Which arithmetic the kernels of this build really do on this device: a handful of fixed inputs whose results tell
// apart fused and separate rounding, kept and flushed subnormals, exact and approximate division and square root, and
// the roundings of conversions to 16 bits. Cheap enough to run at every start; a wrong compiler flag shows here by name
// instead of as a mismatch in some kernel.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/hip/runtime.hpp"

namespace greta::hip {

/// One hexadecimal digit of the signature each, the first the lowest. 1 is what the exact tier needs; 2, 3, ... are the
/// known other behaviours (in this order); f is none of them.
enum class Probe : uint8_t {
  kContraction,       ///< a*b+c      1 rounded twice, 2 fused
  kFma,               ///< fmaf       1 rounded once, 2 twice
  kSubnormalResults,  ///< 2^-127     1 kept, 2 flushed
  kSubnormalInputs,   ///< 2^-149 x   1 read, 2 taken as zero
  kDivision,          ///< a/b        1 exactly rounded, 2 a * (1/b), 3 another approximation
  kSquareRoot,        ///< sqrtf      1 exactly rounded, 2 approximate; 3 exact, but 1/sqrtf(a) was made one operation
  kToHalf,            ///< f32->f16   1 nearest even, 2 toward zero, 3 nearest with ties away, 4 subnormals flushed
  kToBfloat16,        ///< f32->bf16  1 nearest even, 2 toward zero, 3 nearest with ties away
};
inline constexpr int kProbes = 8;
inline constexpr uint32_t kExactFlagSignature = 0x11111111;

struct FlagProbe {
  uint32_t signature = 0;
  std::string text;  ///< "0x11111111: separate a*b+c, fused fmaf, ...": one clause a probe
  bool exact() const { return signature == kExactFlagSignature; }
};

/// Runs the probe kernel on the device in use.
FlagProbe run_flag_probe(Stream& stream);

/// What the kernel is asked: operation and operands. For the kernel and the tests.
struct ProbeItem {
  enum class Operation : int32_t {
    kMultiplyAdd,
    kFma,
    kMultiply,
    kDivide,
    kSqrt,
    kReciprocalSqrt,
    kToHalf,
    kToBfloat16
  };
  Probe probe;
  Operation operation;
  float a;
  float b;
  float c;
};
const std::vector<ProbeItem>& flag_probe_items();
/// The signature of the results (bits of the f32, or the 16 bits), one for each item in order.
FlagProbe decode_flag_probe(std::span<const uint32_t> results);

}  // namespace greta::hip
