// What an instruction of gfx942 is to the figures: its class, its issue time, the bytes it moves.
// Sources: "AMD Instinct MI300 (CDNA3) Instruction Set Architecture" (formats, MFMA shapes and passes), LLVM's AMDGPU
// documentation (names).
#pragma once

#include <array>
#include <string_view>

#include "runners/isa/code_object.hpp"

namespace greta::runners::isa {

enum class Class {
  kMfma,
  kValu,
  kAccMove,  ///< v_accvgpr_*
  kSalu,
  kSmem,  ///< scalar loads
  kLds,   ///< reads, writes and lane exchange through LDS
  kLoad,  ///< vector loads from global memory
  kStore,
  kAtomic,
  kScratch,
  kFlat,  ///< an address that may be anywhere: LDS and global units both wait
  kBranch,
  kBarrier,
  kWait,  ///< s_waitcnt
  kOther,
};
inline constexpr int kClasses = static_cast<int>(Class::kOther) + 1;
std::string_view class_name(Class c);

Class class_of(const Instruction& i);
/// Passes (4 clocks) the instruction occupies its unit: MFMA by shape; transcendentals and 32-bit multiplies 4; other
/// vector instructions 1; 0 for what no vector unit runs.
int passes_of(const Instruction& i);
/// Multiply-adds count 2; of a whole wave.
double mfma_flop(std::string_view mnemonic);
/// Bytes a lane of a vector load or store (global, buffer, flat, scratch), 0 for others.
int vmem_bytes(std::string_view mnemonic);
/// LDS accesses of a lane: `count` of `bytes` each (ds_read2_b64: 2 of 8); lane exchange counts 1 of 4.
struct LdsAccess {
  int count = 0, bytes = 0;
  bool write = false, exchange = false;
  int total() const { return count * bytes; }
};
LdsAccess lds_access(std::string_view mnemonic);
bool is_f64(std::string_view mnemonic);
/// A load or store that goes between memory and LDS directly.
bool is_lds_dma(const Instruction& i);

}  // namespace greta::runners::isa
