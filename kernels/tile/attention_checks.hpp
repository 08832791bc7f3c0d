// What prefill and decode attention check before a launch. HIP-free.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/hip/tensor.hpp"
#include "kernels/hip/text.hpp"

namespace greta {

/// Empty when a kernel with instances for head_dim 64 and 128 can do the problem (prefill or decode), else why not.
template <class P>
std::string attention_accepts_d64_d128(const P& p) {
  if (p.head_dim != 64 && p.head_dim != 128) return concat("head_dim must be 64 or 128, got ", p.head_dim);
  constexpr int64_t kMaxGrid = 65535, kMaxKeys = int64_t{1} << 30;  // of grid.y and grid.z; keys are counted in int
  if (p.capacity() > kMaxKeys) return concat("kv_capacity must be at most 2^30, got ", p.capacity());
  if (p.n_heads > kMaxGrid) return concat("n_heads must be at most 65535, got ", p.n_heads);
  if (p.batch > kMaxGrid) return concat("batch must be at most 65535, got ", p.batch);
  return {};
}

/// Kernels move 16 bytes at a time. Throws kInvalidArgument naming `what`.
inline void require_attention_tensor(const char* what, const hip::AnyView& view, DType dtype) {
  if (!view) throw_invalid(concat(what, " is missing"));
  if (view.dtype() != dtype)
    throw_invalid(
        concat(what, ": dtype must be the problem's ", dtype_name(dtype), ", got ", dtype_name(view.dtype())));
  if (const auto off = reinterpret_cast<uintptr_t>(view.data()) % 16)
    throw_invalid(
        concat(what, ": must start at a multiple of 16 bytes, got ", off, " bytes past one; slice at whole rows"));
}

}  // namespace greta
