// Readout: what the output matrix really read at each step, and the landscape of the logits it made.
//
//   hidden state   buffer, offset and extent as the launch that multiplied by the output matrix (or the one that
//                  quantised for it) was given them; the row; SHA-256 of the bits that lie there; and whose it is: the
//                  final norm of every token of the pass is computed again from its residual stream (order-faithful
//                  twin), and the row must have the bits of the last token's
//   landscape      five best ids, gap between the first two, entropy in nats over the k best
//   twice          the first step is taken by prefill of the whole prompt, and by prefill of all but its last token and
//                  one decode step: same best id, same bits
//   collapse       one best id over all steps of a prompt, or one over the first steps of all prompts
#pragma once

#include <string>
#include <vector>

#include "results/record.hpp"
#include "runners/gates/traced_side.hpp"

namespace greta::runners {

struct ReadoutRequest {
  ModelAtHand* model = nullptr;
  std::vector<std::pair<std::string, std::vector<int32_t>>> prompts;  ///< name, ids
  int64_t steps = 16;
  int64_t top_k = 50;
  model::EngineOptions options;  ///< a planting's position may be * or a position that the steps reach
};

struct ReadoutStep {
  std::string prompt, path;  ///< "prefill" or "decode"
  int64_t step = 0, position = 0;
  std::string buffer;  ///< "'normed' [+0, 256 of 1280 f16]"
  std::string launch;
  int64_t row = 0;    ///< of that extent
  size_t offset = 0;  ///< bytes into the allocation
  std::string sha256;
  int64_t token_position = -1;  ///< whose final norm has these bits; -1: nobody's of the pass
  bool last_token = false;
  std::vector<std::pair<int32_t, float>> top;  ///< five best ids and their logits
  double gap = 0, entropy = 0;
  int64_t not_finite = 0;
};

struct ReadoutResult {
  results::Outcome outcome;
  std::string named;  ///< what is wrong: "hidden row", "logits", "choice" or "collapse"
  std::vector<ReadoutStep> steps;
  int64_t prompts_collapsed = 0;
  bool collapsed_over_prompts = false;
};

ReadoutResult run_readout(const ReadoutRequest& request);
/// Five best, gap and entropy of a row of logits.
void describe_landscape(std::span<const float> logits, int64_t top_k, ReadoutStep& step);

}  // namespace greta::runners
