// Paged K and V on every rung of decode attention: the bits of the contiguous layout, whatever the page size, the order
// of the pages and what lies in pages and table entries that no key uses; and the mistakes that must show.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/decode_attention/decode_attention_testing.hpp"
#include "kernels/tile/kernel_testing.hpp"

namespace greta {
namespace {

using namespace decode_test;

int64_t keys_of(const DecodeAttentionProblem& p, const Inputs& in, int64_t b) {
  return in.n_kv_of.empty() ? p.n_kv : in.n_kv_of[static_cast<size_t>(b)];
}

/// The problem with pages of that size, some of which nobody uses.
DecodeAttentionProblem with_pages(DecodeAttentionProblem p, int64_t page_size) {
  p.page_size = page_size;
  p.n_pages = p.batch * p.table_width() + 3;
  return p;
}

/// Contiguous inputs put into shuffled pages. Rows and pages without a key are NaN, table entries without one are -1:
/// a kernel that follows such an entry reads outside the buffer.
Inputs to_pages(const DecodeAttentionProblem& paged, const Inputs& flat, uint32_t seed) {
  const int64_t row = paged.n_kv_heads * paged.head_dim;
  Inputs in{flat.q, Bits(paged.kv_elements(), to_bits(paged.dtype, NAN)), {}, flat.n_kv_of, {}};
  in.v = in.k;
  std::vector<int32_t> free(static_cast<size_t>(paged.pages()));
  std::iota(free.begin(), free.end(), 0);
  for (size_t i = free.size() - 1; i > 0; --i) {
    seed = seed * 1664525u + 1013904223u;
    std::swap(free[i], free[(seed >> 8) % (i + 1)]);
  }
  in.page_table.assign(static_cast<size_t>(paged.batch * paged.table_width()), -1);
  for (int64_t b = 0; b < paged.batch; ++b)
    for (int64_t j = 0; j < keys_of(paged, flat, b); ++j) {
      int32_t& page = in.page_table[static_cast<size_t>(b * paged.table_width() + j / paged.page_size)];
      if (page < 0) page = free.back(), free.pop_back();
      const int64_t from = (b * paged.capacity() + j) * row, to = (page * paged.page_size + j % paged.page_size) * row;
      std::copy_n(flat.k.begin() + from, row, in.k.begin() + to);
      std::copy_n(flat.v.begin() + from, row, in.v.begin() + to);
    }
  return in;
}

TEST(PagedKv, BitsOfContiguousAtEveryEdge) {
  for (const DecodeAttentionRung& rung : decode_attention_ladder())
    for (const int64_t page_size : {16, 64})
      for (const int64_t n_kv : {1, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1025}) {
        const DecodeAttentionProblem p = problem(1, n_kv, 4, 2, 64, DType::kBF16), paged = with_pages(p, page_size);
        Inputs flat = random_inputs(p);
        leave_only_rounding(flat.k, flat.v, n_kv, p.n_kv_heads * p.head_dim);
        EXPECT_EQ(run(rung, paged, to_pages(paged, flat, 5)), run(rung, p, flat))
            << rung.name << " n_kv " << n_kv << " pages of " << page_size;
      }
}

TEST(PagedKv, RaggedBatchInShuffledPages) {
  for (const DecodeAttentionRung& rung : decode_attention_ladder())
    for (const int64_t head_dim : {64, 128})
      for (const int64_t page_size : {16, 64, 1024}) {
        const DecodeAttentionProblem p = problem(4, 600, 6, 2, head_dim, DType::kF16, head_dim == 64, 603);
        const DecodeAttentionProblem paged = with_pages(p, page_size);
        Inputs flat = random_inputs(p);
        flat.n_kv_of = {600, 1, 512, 77};
        const Bits want = run(rung, p, flat);
        for (const uint32_t seed : {1, 2})
          EXPECT_EQ(run(rung, paged, to_pages(paged, flat, seed)), want) << rung.name << " " << to_line(paged);
        for (const uint16_t bits : want) ASSERT_FALSE(std::isnan(from_bits(p.dtype, bits)));
      }
}

TEST(PagedKv, OnBothWavesInEveryOrder) {
  const DecodeAttentionProblem p = problem(2, 530, 4, 2, 128, DType::kBF16), paged = with_pages(p, 16);
  const Inputs flat = random_inputs(p), in = to_pages(paged, flat, 9);
  for (const DecodeAttentionRung& rung : decode_attention_ladder())
    testing_support::for_every_schedule(
        [&](const std::string& label) { EXPECT_EQ(run(rung, paged, in), run(rung, p, flat)) << rung.name << label; });
}

/// Two sequences with a common beginning keep it in the same pages.
TEST(PagedKv, PagesSharedBySequences) {
  for (const DecodeAttentionRung& rung : decode_attention_ladder()) {
    const DecodeAttentionProblem p = problem(2, 150, 4, 2, 64), paged = with_pages(p, 64);
    Inputs flat = random_inputs(p);
    const int64_t sequence = p.kv_elements() / 2, common = 128 * p.n_kv_heads * p.head_dim;
    for (Bits* cache : {&flat.k, &flat.v}) std::copy_n(cache->begin(), common, cache->begin() + sequence);
    Inputs in = to_pages(paged, flat, 3);
    const int32_t unused[2] = {in.page_table[3], in.page_table[4]};
    in.page_table[3] = in.page_table[0], in.page_table[4] = in.page_table[1];
    const int64_t page = paged.page_size * p.n_kv_heads * p.head_dim;
    for (const int32_t nobodys : unused) {
      std::fill_n(in.k.begin() + nobodys * page, page, to_bits(p.dtype, NAN));
      std::fill_n(in.v.begin() + nobodys * page, page, to_bits(p.dtype, NAN));
    }
    EXPECT_EQ(run(rung, paged, in), run(rung, p, flat)) << rung.name;
  }
}

TEST(PagedKv, MistakesShow) {
  const DecodeAttentionProblem p = problem(2, 200, 4, 2, 64, DType::kBF16), paged = with_pages(p, 16);
  const Inputs flat = random_inputs(p), good = to_pages(paged, flat, 11);
  const int64_t width = paged.table_width(), page = 16 * p.n_kv_heads * p.head_dim;
  for (const DecodeAttentionRung& rung : decode_attention_ladder()) {
    const Bits want = run(rung, p, flat);
    Inputs stale = good;  // one page of sequence 0 is what sequence 1 has there
    stale.page_table[5] = good.page_table[static_cast<size_t>(width) + 5];
    EXPECT_GT(count_differing(run(rung, paged, stale), want), 50) << rung.name;
    Inputs neighbour = good;  // sequence 1 reads with the row of sequence 0
    std::copy_n(good.page_table.begin(), width, neighbour.page_table.begin() + width);
    EXPECT_GT(count_differing(run(rung, paged, neighbour), want), 200) << rung.name;
    Inputs turned = good;  // every page read from its second row on
    for (Bits* cache : {&turned.k, &turned.v})
      for (int64_t at = 0; at < static_cast<int64_t>(cache->size()); at += page)
        std::rotate(cache->begin() + at, cache->begin() + at + p.n_kv_heads * p.head_dim, cache->begin() + at + page);
    EXPECT_GT(count_differing(run(rung, paged, turned), want), 400) << rung.name;
  }
}

TEST(PagedKv, Refusals) {
  const DecodeAttentionProblem p = problem(2, 100, 2, 1, 64), paged = with_pages(p, 16);
  const Inputs flat = random_inputs(p), good = to_pages(paged, flat, 1);
  for (const DecodeAttentionRung& rung : decode_attention_ladder()) {
    Inputs in = good;
    in.page_table.clear();
    testing_support::expect_refused([&] { run(rung, paged, in); }, {"page_table is missing", rung.name});
    in = flat;
    in.page_table = good.page_table;
    testing_support::expect_refused([&] { run(rung, p, in); }, {"page_table is given", "none without pages"});
    in = good;
    in.page_table.pop_back();
    testing_support::expect_refused([&] { run(rung, paged, in); }, {"page_table", "has 13 elements", "touches 14"});
    DecodeAttentionProblem more = paged;  // a pool of which the buffers hold a part
    more.n_pages += 1;
    hip::Stream stream;
    const hip::DeviceTensor q("q", p.dtype, paged.q_elements()), k("k", p.dtype, paged.kv_elements()),
        o("o", p.dtype, paged.q_elements());
    hip::DeviceBuffer<int32_t> table("page_table", good.page_table.size());
    table.upload(stream, good.page_table);
    hip::DeviceBuffer<float> workspace("workspace", decode_attention_workspace(paged));
    DecodeAttentionArgs args = {q.view(), k.view(), k.view(), o.view(), {}, workspace.view()};
    args.page_table = table.cview();
    testing_support::expect_refused([&] { decode_attention(stream, rung, more, args); },
                                    {"argument 'k'", "has 17408 elements", "touches 18432"});
  }
}

}  // namespace
}  // namespace greta
