// For the rungs of prefill attention: their launch functions, and the launch all of them share. The way in is
// prefill_attention(), which checks the arguments first.
#pragma once

#include "kernels/prefill_attention/prefill_attention.hpp"

namespace greta {

void prefill_attention_v1(hip::Stream&, const PrefillAttentionProblem&, const PrefillAttentionArgs&);
void prefill_attention_v2(hip::Stream&, const PrefillAttentionProblem&, const PrefillAttentionArgs&);
void prefill_attention_v3(hip::Stream&, const PrefillAttentionProblem&, const PrefillAttentionArgs&);
void prefill_attention_v4(hip::Stream&, const PrefillAttentionProblem&, const PrefillAttentionArgs&);
void prefill_attention_v4_free(hip::Stream&, const PrefillAttentionProblem&, const PrefillAttentionArgs&);

}  // namespace greta
