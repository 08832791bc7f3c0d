// The launch functions of decode attention's rungs. The way in is decode_attention(), which checks the arguments first.
#pragma once

#include "kernels/decode_attention/decode_attention.hpp"

namespace greta {

void decode_attention_v1(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);
void decode_attention_v2(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);
void decode_attention_v3(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);
void decode_attention_v4(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&);

/// v3 with splits of another size: other bits. The benchmark's measure of what the fixed size costs.
void decode_attention_v3_with_splits(hip::Stream&, const DecodeAttentionProblem&, const DecodeAttentionArgs&,
                                     int64_t split_keys);

}  // namespace greta
