#include "verify/paged_kv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/hip/error.hpp"
#include "reference/decode_attention.hpp"
#include "verify/attention_inputs.hpp"
#include "verify/draw.hpp"

namespace greta::verify {
namespace {

using P = DecodeAttentionProblem;

int64_t row_bytes(const P& p) { return p.n_kv_heads * p.head_dim * dtype_block_bytes(p.dtype); }

void copy_row(const P& p, const Tensor& from, int64_t from_row, Tensor& to, int64_t to_row) {
  std::copy_n(from.bytes.begin() + from_row * row_bytes(p), row_bytes(p), to.bytes.begin() + to_row * row_bytes(p));
}
Tensor all_nan(Tensor tensor) {
  if (tensor.count() == 0) return tensor;
  tensor.set(0, std::nanf(""));
  const auto size = static_cast<size_t>(tensor.element_bytes());
  for (size_t at = size; at < tensor.bytes.size(); at += size)
    std::copy_n(tensor.bytes.begin(), size, tensor.bytes.begin() + static_cast<int64_t>(at));
  return tensor;
}
Tensor pool(const char* name, const P& p) {
  return Tensor(name, p.dtype, {{"page", p.pages()}, {"r", p.page_size}, {"g", p.n_kv_heads}, {"d", p.head_dim}});
}
int32_t& entry(const P& p, Tensor& table, int64_t b, int64_t page) {
  return table.as<int32_t>()[static_cast<size_t>(b * p.table_width() + page)];
}

}  // namespace

P contiguous(P p) {
  p.page_size = p.n_pages = 0;
  return p;
}

Data to_pages(const P& p, Data data, bool nan_elsewhere, uint64_t seed) {
  if (!p.paged()) return data;
  const PrefillAttentionProblem flat = reference::as_prefill(p);
  std::vector<int32_t> free = permutation<int32_t>(p.pages(), seed);

  Tensor table("page_table", DType::kI32, {{"b", p.batch}, {"page", p.table_width()}});
  std::fill(table.as<int32_t>().begin(), table.as<int32_t>().end(), -1);
  Tensor k = all_nan(pool("k", p)), v = all_nan(pool("v", p));
  if (!nan_elsewhere)
    for (int64_t row = 0; row < p.pages() * p.page_size; ++row)
      copy_row(p, data["k"], 0, k, row), copy_row(p, data["v"], 0, v, row);

  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t first = 0, page = 0; first < keys_of(flat, data, b); first += p.page_size, ++page) {
      const int64_t keys = std::min(p.page_size, keys_of(flat, data, b) - first), row = b * p.capacity() + first;
      // The page of an earlier sequence at the same place, if it is whole there and here and holds the same rows.
      for (int64_t other = 0; other < b && keys == p.page_size; ++other) {
        if (keys_of(flat, data, other) < first + keys) continue;
        const auto same = [&](const char* which) {
          const auto begin = data[which].bytes.begin();
          return std::equal(begin + row * row_bytes(p), begin + (row + keys) * row_bytes(p),
                            begin + (other * p.capacity() + first) * row_bytes(p));
        };
        if (!same("k") || !same("v")) continue;
        entry(p, table, b, page) = entry(p, table, other, page);
        break;
      }
      if (entry(p, table, b, page) >= 0) continue;
      if (free.empty()) throw_invalid(fmt::format("{} pages are too few for {}", p.pages(), to_line(p)));
      entry(p, table, b, page) = free.back();
      for (int64_t i = 0; i < keys; ++i) {
        copy_row(p, data["k"], row + i, k, free.back() * p.page_size + i);
        copy_row(p, data["v"], row + i, v, free.back() * p.page_size + i);
      }
      free.pop_back();
    }
  data["k"] = std::move(k), data["v"] = std::move(v);
  data.tensors.push_back(std::move(table));
  return data;
}

Data from_pages(const P& p, const Data& data) {
  if (!p.paged()) return data;
  const PrefillAttentionProblem flat = reference::as_prefill(p);
  Tensor table = data["page_table"], k = all_nan(attention_cache("k", flat)), v = all_nan(attention_cache("v", flat));
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t j = 0; j < keys_of(flat, data, b); ++j) {
      const int64_t row = entry(p, table, b, j / p.page_size) * p.page_size + j % p.page_size;
      copy_row(p, data["k"], row, k, b * p.capacity() + j);
      copy_row(p, data["v"], row, v, b * p.capacity() + j);
    }
  Data out = data;
  std::erase_if(out.tensors, [](const Tensor& t) { return t.name == "page_table"; });
  out["k"] = std::move(k), out["v"] = std::move(v);
  return out;
}

}  // namespace greta::verify
