// For the tests of decode attention: problems, inputs, and runs that return the output's bits.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "kernels/decode_attention/decode_attention.hpp"
#include "kernels/tile/attention_test_data.hpp"

namespace greta::decode_test {

using namespace attention_test;

inline DecodeAttentionProblem problem(int64_t batch, int64_t n_kv, int64_t n_heads, int64_t n_kv_heads,
                                      int64_t head_dim, DType dtype = DType::kF16, int64_t head_map = 0,
                                      int64_t kv_capacity = 0) {
  DecodeAttentionProblem p;
  p.batch = batch, p.n_kv = n_kv, p.n_heads = n_heads, p.n_kv_heads = n_kv_heads, p.head_dim = head_dim;
  p.kv_capacity = kv_capacity, p.head_map = head_map, p.dtype = dtype;
  return p;
}

struct Inputs {
  Bits q, k, v;
  std::vector<int32_t> n_kv_of;     ///< empty: not given
  std::vector<int32_t> page_table;  ///< empty: not given
};
inline Inputs random_inputs(const DecodeAttentionProblem& p) {
  return {random_values(p.dtype, p.q_elements(), 1),
          random_values(p.dtype, p.kv_elements(), 2),
          random_values(p.dtype, p.kv_elements(), 3),
          {},
          {}};
}

inline Bits run(const DecodeAttentionRung& rung, const DecodeAttentionProblem& p, const Inputs& in) {
  hip::Stream stream;
  const auto q = upload(stream, "q", p.dtype, in.q, p.q_elements()),
             k = upload(stream, "k", p.dtype, in.k, p.kv_elements()),
             v = upload(stream, "v", p.dtype, in.v, p.kv_elements());
  const hip::DeviceTensor o("o", p.dtype, p.q_elements());
  hip::DeviceBuffer<int32_t> n_kv_of("n_kv_of", in.n_kv_of.size()), page_table("page_table", in.page_table.size());
  n_kv_of.upload(stream, in.n_kv_of);
  page_table.upload(stream, in.page_table);
  hip::DeviceBuffer<float> workspace("workspace", decode_attention_workspace(p));
  DecodeAttentionArgs args = {q.view(), k.view(), v.view(), o.view(), n_kv_of.cview(), workspace.view()};
  args.page_table = page_table.cview();
  decode_attention(stream, rung, p, args);
  stream.synchronize();
  return download(stream, o);
}

}  // namespace greta::decode_test
