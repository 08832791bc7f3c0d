// How far two sets of logits are apart: the metrics of every gate, computed over the full vocabulary at every position.
// NaN never passes: a position that holds a NaN on either side counts as different, with an infinite difference.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace greta::runners {

/// One position. Differences are |a - b| over the vocabulary.
struct PositionDiff {
  bool bits_equal = true;  ///< every logit has the same bits (+0 and -0 count as equal)
  double max_abs = 0;
  double p99_abs = 0;   ///< 99th percentile over the vocabulary
  double relative = 0;  ///< |a - b|_2 / |b - mean(b)|_2
  double kl = 0;        ///< KL(softmax a || softmax b), nats
  bool top1_equal = true;
  int64_t worst_id = 0;  ///< vocabulary id of max_abs
  float worst_a = 0, worst_b = 0;
  bool nan = false;
};

struct LogitsDiff {
  int64_t vocab = 0;
  int64_t first_position = 0;  ///< position of positions[0] in the input
  std::vector<PositionDiff> positions;

  double max_abs_diff() const;    ///< worst position
  double p99_abs_diff() const;    ///< worst position's p99
  double max_relative() const;    ///< worst position
  double rms_relative() const;    ///< root of the mean square over positions
  double top1_agreement() const;  ///< share of positions, 0..1
  double kl() const;              ///< worst position
  bool bits_equal() const;
  bool has_nan() const;
  /// Position (in the input) of the first one whose bits differ, or whose relative difference is above `bound`.
  std::optional<int64_t> first_unequal() const;
  std::optional<int64_t> first_above(double bound) const;
  const PositionDiff& at(int64_t position) const { return positions[static_cast<size_t>(position - first_position)]; }
};

/// a and b [n, vocab]; throws kInvalidArgument when their sizes differ or are no multiple of vocab: missing data is a
/// failure.
LogitsDiff compare_logits(std::span<const float> a, std::span<const float> b, int64_t vocab, int64_t first_position);

/// True when logits carry no information to compare: empty, or every row constant.
bool logits_are_trivial(std::span<const float> logits, int64_t vocab);

/// Whether two passes gave the same bits, zeros' signs and NaNs' payloads too. Two passes without logits gave none.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace greta::runners
