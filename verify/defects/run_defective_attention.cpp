#include "verify/defects/run_defective_attention.hpp"

#include "kernels/hip/problem.hpp"
#include "verify/attention_inputs.hpp"
#include "verify/buffers.hpp"

namespace greta::verify {

std::vector<Output> run_defective_attention(AttentionMistake mistake, const std::string& problem, const Data& data) {
  const auto p = from_line<PrefillAttentionProblem>(problem);
  Buffers buffers("prefill_attention");
  PrefillAttentionArgs args;
  args.q = buffers.in(data["q"]), args.k = buffers.in(data["k"]), args.v = buffers.in(data["v"]);
  args.o = buffers.out(attention_rows("o", p, false));
  args.scale = scale_of(data);
  prefill_attention_defective(mistake, buffers.stream(), p, args);
  return buffers.collect();
}

}  // namespace greta::verify
