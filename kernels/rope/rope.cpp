#include "kernels/rope/rope.hpp"

#include <cmath>

#include "kernels/tile/run_rung.hpp"

namespace greta {

void rope_v1(hip::Stream&, const RopeProblem&, const RopeArgs&);

namespace {
constexpr RopeRung kLadder[] = {
    {"v1", rope_v1, accepts_all<RopeProblem>, "rope_f32", "one workgroup a token, 16 bytes of x a thread"},
};
}  // namespace

std::span<const RopeRung> rope_ladder() { return kLadder; }

void rope(hip::Stream& stream, const RopeRung& rung, const RopeProblem& problem, const RopeArgs& args) {
  run_rung("rope", stream, rung, problem, args);
}

std::vector<float> rope_table(int64_t n_positions, int64_t head_dim, double freq_base, std::span<const float> factors) {
  if (n_positions < 1) throw_invalid("rope_table: n_positions must be at least 1, got " + std::to_string(n_positions));
  if (head_dim < 2 || head_dim % 2)
    throw_invalid("rope_table: head_dim must be even and at least 2, got " + std::to_string(head_dim));
  const int64_t pairs = head_dim / 2;
  if (!factors.empty() && static_cast<int64_t>(factors.size()) != pairs)
    throw_invalid("rope_table: factors must be none or head_dim/2 = " + std::to_string(pairs) + ", got " +
                  std::to_string(factors.size()));
  std::vector<double> frequency(static_cast<size_t>(pairs));
  for (int64_t i = 0; i < pairs; ++i) {
    const double factor = factors.empty() ? 1.0 : static_cast<double>(factors[static_cast<size_t>(i)]);
    frequency[static_cast<size_t>(i)] =
        std::pow(freq_base, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim)) / factor;
  }
  std::vector<float> table;
  table.reserve(static_cast<size_t>(n_positions * head_dim));
  for (int64_t p = 0; p < n_positions; ++p)
    for (const double f : frequency) {
      table.push_back(static_cast<float>(std::cos(static_cast<double>(p) * f)));
      table.push_back(static_cast<float>(std::sin(static_cast<double>(p) * f)));
    }
  return table;
}

}  // namespace greta
