// Cosines and sines of RoPE, built once on the host in double and rounded once to float: the same bytes go to every
// platform, so that a rotation is the same everywhere. (In float the angle itself is off by 2e-3 rad at position
// 32768.)
//   angle(p, i) = p * position_scale * freq_base^(-2i / rope_dim) / freq_factor[i]     for i < rope_dim / 2
//   angle(p, i) = 0                                                                    for the rest: not rotated
// Source: RoFormer (Su et al. 2021), section 3.4.2; frequency factors as Llama 3.1 files give them (rope_freqs.weight).
#pragma once

#include <cstdint>
#include <vector>

namespace greta::reference {

struct RopeAngles {
  int64_t head_dim = 64;            ///< even
  int64_t rope_dim = 64;            ///< rotated values at the start of a head: even, 2 to head_dim
  double freq_base = 10000;         ///< theta; above 0
  double position_scale = 1;        ///< 1 / factor of linear scaling; above 0
  std::vector<float> freq_factors;  ///< empty, or rope_dim / 2 factors above 0
};

/// Radians per position of each pair, [head_dim / 2]; angle(p, i) is p times this. kInvalidArgument naming the field
/// that is wrong.
std::vector<double> rope_frequencies(const RopeAngles& angles);

/// [n_positions, head_dim / 2, {cos, sin}], rounded to nearest even.
std::vector<float> rope_table(const RopeAngles& angles, int64_t n_positions);

}  // namespace greta::reference
