// LDS bank conflicts read from the binary: addresses of LDS instructions as a function of the lane, by interpreting the
// integer arithmetic that makes them, and the clocks that 32 banks of 4 bytes need for them.
//
// What a lane's register holds is known when it follows from the lane number, constants, and one unknown that all lanes
// share (a workgroup number, a loop counter): conflicts depend on differences between lanes alone. Everything else, as
// what comes from memory, is unknown, and an instruction with an unknown address counts as free of conflicts.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <vector>

#include "runners/isa/instruction_class.hpp"

namespace greta::runners::isa {

inline constexpr int kLanes = 64;
using LaneAddresses = std::array<uint32_t, kLanes>;

/// Clocks of one access of the whole wave. Lanes are served in groups (b32: 32 lanes; b64: 16; b128: 8, reads in pairs
/// of quads that lie 20 lanes apart); in a group each bank gives one 4-byte word a clock, to all lanes that want it.
int lds_clocks(const LaneAddresses& addresses, int bytes, bool write);
/// The same without conflicts: 2, 4 or 8.
int lds_ideal_clocks(int bytes);

struct LdsCost {
  int clocks = 0;
  int ideal = 0;
  bool known = false;  ///< the addresses were; else clocks == ideal
};
/// For each LDS instruction of the kernel (by index), for wave `wave` of a one-dimensional workgroup.
std::map<size_t, LdsCost> lds_costs(const Kernel& kernel, int wave);

}  // namespace greta::runners::isa
