#include "kernels/decode_attention/decode_attention_problem.hpp"

#include <fmt/format.h>

namespace greta {

void validate(const DecodeAttentionProblem& p) {
  const auto refuse = [&](const char* field, int64_t got, const std::string& want) {
    throw_invalid(fmt::format("decode_attention: {} must be {}, got {} ({})", field, want, got, to_line(p)));
  };
  if (p.batch < 1) refuse("batch", p.batch, "at least 1");
  if (p.n_kv < 1) refuse("n_kv", p.n_kv, "at least 1");
  if (p.n_kv_heads < 1) refuse("n_kv_heads", p.n_kv_heads, "at least 1");
  if (p.n_heads < 1 || p.n_heads % p.n_kv_heads) refuse("n_heads", p.n_heads, "a multiple of n_kv_heads");
  if (p.capacity() < p.n_kv) refuse("kv_capacity", p.kv_capacity, "at least n_kv");
  if (p.head_map != 0 && p.head_map != 1) refuse("head_map", p.head_map, "0 (grouped) or 1 (interleaved)");
  if (p.page_size != 0 && (p.page_size < 16 || p.page_size > (1 << 20) || (p.page_size & (p.page_size - 1))))
    refuse("page_size", p.page_size, "0 (contiguous) or a power of two from 16 to 2^20");
  if (p.n_pages < 0 || (p.n_pages != 0 && !p.paged()))
    refuse("n_pages", p.n_pages, p.paged() ? "at least 1, or 0 for as many as the table has" : "0 without pages");
  if (p.dtype != DType::kF16 && p.dtype != DType::kBF16)
    throw_invalid(fmt::format("decode_attention: dtype must be f16 or bf16, got {}", dtype_name(p.dtype)));
}

}  // namespace greta
