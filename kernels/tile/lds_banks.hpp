// A model of LDS banks, for host tests: how many clocks one access of a wave takes. HIP-free.
//
// 32 banks of 4 bytes. The lanes of an access go in groups that are served together; a group takes as many clocks as
// the busiest bank has different words (lanes that read one word share it).
//
//   gfx942, wave 64   4 bytes a lane: lanes 0-31 | 32-63.   8 bytes: 16 consecutive lanes.
//                     16-byte writes: 8 consecutive lanes.  16-byte reads: {0-3,20-23} {4-7,16-19} {8-11,28-31}
//                     {12-15,24-27} and the same + 32.
//   sm_90, wave 32    4 bytes: the wave.  8 bytes: half of it.  16 bytes: 8 consecutive lanes; ldmatrix is four such
//                     reads, 8 row addresses each.
//
// Sources: the CDNA3 ISA reference on LDS bandwidth and measured lane groups of ds_read_b128; CUDA programming guide on
// shared memory. The gfx942 groups are from documentation and other people's measurements.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <vector>

namespace greta {

enum class LdsAccess { kRead, kWrite };

/// Lanes that are served together, in order.
inline std::vector<std::vector<int>> lds_groups(int wave, int bytes, LdsAccess access) {
  std::vector<std::vector<int>> groups;
  const auto consecutive = [&](int n) {
    for (int first = 0; first < wave; first += n) {
      groups.emplace_back();
      for (int lane = first; lane < first + n; ++lane) groups.back().push_back(lane);
    }
  };
  if (bytes <= 4) {
    consecutive(32);
  } else if (bytes == 8) {
    consecutive(16);
  } else if (wave == 32 || access == LdsAccess::kWrite) {
    consecutive(8);
  } else {
    constexpr std::array<std::array<int, 2>, 4> kQuads = {{{0, 20}, {4, 16}, {8, 28}, {12, 24}}};
    for (const int half : {0, 32})
      for (const auto& [a, b] : kQuads) {
        groups.emplace_back();
        for (const int first : {a, b})
          for (int i = 0; i < 4; ++i) groups.back().push_back(half + first + i);
      }
  }
  return groups;
}

/// Clocks of one access: byte_address(lane) is where the lane's `bytes` start. A negative address: the lane is off.
template <class Address>
int lds_clocks(int wave, int bytes, LdsAccess access, Address&& byte_address) {
  int clocks = 0;
  for (const auto& group : lds_groups(wave, bytes, access)) {
    std::array<std::set<int>, 32> words;
    for (const int lane : group) {
      const int at = byte_address(lane);
      for (int word = at / 4; at >= 0 && word < (at + std::max(bytes, 4)) / 4; ++word) words[word % 32].insert(word);
    }
    size_t busiest = 0;
    for (const auto& bank : words) busiest = std::max(busiest, bank.size());
    clocks += static_cast<int>(busiest);
  }
  return clocks;
}
/// What the same access takes when no two lanes of a group meet.
inline int lds_ideal_clocks(int wave, int bytes) { return wave * std::max(bytes, 4) / 128; }

}  // namespace greta
