// The launch functions of decode attention's rungs. The way in is decode_attention(), which checks the arguments first.
#pragma once

#include "kernels/decode_attention/decode_attention.hpp"

namespace greta {

void decode_attention_v1(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);
void decode_attention_v2(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);

}  // namespace greta
