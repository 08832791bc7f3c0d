// greta audit decode: where the time of a generation goes.
//
//   wall = load + engine + prefill + steps + readback + overhead
// load: weights to the device; engine: buffers, tables; prefill: the prompt, to its first token; steps: one token each;
// readback: the logits of a step to the host; overhead is what is left, and cannot be negative. Before any of it
// counts: the prompt that was processed has the length it was given (as the cache and the launches say), and every step
// ran. judge_decode() is pure; no timed test has a verdict.
//   FAIL           another prompt length, other steps, or a readback whose greatest is not the chosen token
//   CONTRADICTION  the parts are more than the whole
#pragma once

#include <cstdint>

#include "runners/audits/case_sink.hpp"

namespace greta::runners {

struct DecodeTimes {
  double load = 0, engine = 0, prefill = 0, steps = 0, readback = 0, wall = 0;
  double overhead() const { return wall - load - engine - prefill - steps - readback; }
};

struct DecodeCounts {
  int64_t prompt_given = 0, prompt_cached = 0, prompt_launched = 0;  ///< tokens; rows of the widest prefill launch
  int64_t steps_wanted = 0, steps_cached = 0, steps_launched = 0;    ///< positions added; embedding launches
  int64_t wrong_choices = 0;  ///< steps whose logits have their greatest elsewhere
};
/// Names "prompt", "steps", "readback" or "clock".
Judgement judge_decode(const DecodeTimes& times, const DecodeCounts& counts);

}  // namespace greta::runners
