// Defects of prefill and decode attention.
#include <algorithm>
#include <span>

#include "verify/defects/defects.hpp"

namespace greta::verify {
namespace {

/// Elements of the innermost rows [first, first + n) of every outer index; `rows` rows an outer index.
void scale_all(Tensor& tensor, float factor) {
  for (int64_t i = 0; i < tensor.count(); ++i) tensor.set(i, static_cast<float>(tensor.number(i)) * factor);
}

std::vector<Output> ignores_last_key(const Call& call) {
  const int64_t n_kv = field(call.problem, "n_kv");
  if (n_kv == 1) return call.launch();
  const std::string shorter = with_field(
      with_field(call.problem, "kv_capacity", std::max(n_kv, field(call.problem, "kv_capacity"))), "n_kv", n_kv - 1);
  return call.launch(shorter, call.data);
}

std::vector<Output> sees_one_key_more(const Call& call) {
  return call.launch(with_field(call.problem, "n_kv", field(call.problem, "n_kv") + 1), call.data);
}

std::vector<Output> other_head_map(const Call& call) {
  return call.launch(with_field(call.problem, "head_map", 1 - field(call.problem, "head_map")), call.data);
}

/// head_dim 64: the scale is 1/8, and queries 8 times as large undo it exactly.
std::vector<Output> no_scale(const Call& call) {
  Data data = call.data;
  scale_all(data["q"], 8.0f);
  return call.launch(call.problem, data);
}

/// The mean of the splits instead of their merge: what is left when the rescale by the maxima is forgotten.
std::vector<Output> merge_without_rescale(const Call& call) {
  const int64_t n_kv = field(call.problem, "n_kv");
  std::vector<Output> whole = call.launch();
  if (n_kv <= 512) return whole;
  const std::string capacity =
      with_field(call.problem, "kv_capacity", std::max(n_kv, field(call.problem, "kv_capacity")));
  const std::vector<Output> first = call.launch(with_field(capacity, "n_kv", 512), call.data);
  Data rest = call.data;
  for (const char* which : {"k", "v"}) {
    std::vector<uint8_t>& bytes = rest[which].bytes;
    const auto row = static_cast<int64_t>(bytes.size()) / rest[which].dims[1].size;
    std::rotate(bytes.begin(), bytes.begin() + 512 * row, bytes.end());
  }
  const std::vector<Output> second = call.launch(with_field(capacity, "n_kv", n_kv - 512), rest);
  for (int64_t i = 0; i < whole[0].got.count(); ++i)
    whole[0].got.set(i, static_cast<float>((first[0].got.number(i) + second[0].got.number(i)) / 2));
  return whole;
}

/// The last query's heads 0 and 1 come out in each other's place.
std::vector<Output> swaps_heads(const Call& call) {
  std::vector<Output> out = call.launch();
  Tensor& o = out[0].got;
  const int64_t d = field(call.problem, "head_dim"), row = o.count() - field(call.problem, "n_heads") * d;
  const auto bytes = static_cast<int64_t>(d * o.element_bytes()), at = row * o.element_bytes();
  std::swap_ranges(o.bytes.begin() + at, o.bytes.begin() + at + bytes, o.bytes.begin() + at + bytes);
  return out;
}

std::vector<Output> leaves_last_query_unwritten(const Call& call) {
  std::vector<Output> out = call.launch();
  const auto row = static_cast<int64_t>(out[0].got.bytes.size()) / field(call.problem, "n_tokens");
  std::copy(out[0].around.before.bytes.end() - row, out[0].around.before.bytes.end(), out[0].got.bytes.end() - row);
  return out;
}

/// Another order of additions when a call holds few queries: what a kernel with a tile chosen by n_tokens does.
std::vector<Output> depends_on_chunk(const Call& call) {
  std::vector<Output> out = call.launch();
  if (field(call.problem, "n_tokens") < 5) nudge(out[0].got, 3, 1);
  return out;
}

/// The same for the number of sequences.
std::vector<Output> depends_on_batch(const Call& call) {
  std::vector<Output> out = call.launch();
  if (field(call.problem, "batch") > 1)
    for (int64_t i = 0; i < out[0].got.count(); ++i) nudge(out[0].got, i, 1);
  return out;
}

std::vector<Output> depends_on_capacity(const Call& call) {
  std::vector<Output> out = call.launch();
  if (field(call.problem, "kv_capacity") > 70) nudge(out[0].got, 5, 1);
  return out;
}

/// Data with a mistake in what the page table says; contiguous problems are left alone.
template <class Change>
std::vector<Output> with_table(const Call& call, Change change) {
  if (field(call.problem, "page_size") == 0) return call.launch();
  Data data = call.data;
  change(data, data["page_table"].as<int32_t>(), data["page_table"].dims[1].size);
  return call.launch(call.problem, data);
}

/// The last page of the first sequence that is in use is what its first page was: a table entry nobody brought up to
/// date.
std::vector<Output> stale_page(const Call& call) {
  return with_table(call, [](Data&, std::span<int32_t> table, int64_t width) {
    int64_t last = width - 1;
    while (table[static_cast<size_t>(last)] < 0) --last;
    table[static_cast<size_t>(last)] = table[0];
  });
}

/// Every sequence reads with the row of the first one (which is the longest).
std::vector<Output> neighbours_table_row(const Call& call) {
  return with_table(call, [](Data&, std::span<int32_t> table, int64_t width) {
    for (size_t at = static_cast<size_t>(width); at < table.size(); ++at)
      table[at] = table[at % static_cast<size_t>(width)];
  });
}

/// Key j is looked for in row j + 1 of its page.
std::vector<Output> page_offset_by_one(const Call& call) {
  return with_table(call, [&](Data& data, std::span<int32_t>, int64_t) {
    for (const char* which : {"k", "v"}) {
      Tensor& pool = data[which];
      const auto page = static_cast<int64_t>(pool.bytes.size()) / pool.dims[0].size, row = page / pool.dims[1].size;
      for (auto at = pool.bytes.begin(); at != pool.bytes.end(); at += page) std::rotate(at, at + row, at + page);
    }
  });
}

}  // namespace

std::vector<Defect> attention_defects() {
  return {
      {"decode_ignores_last_key",
       "decode_attention/v2 split_plus_one dtype=f16",
       "n_kv is one short",
       {"E0", "E1", "B", "S", "I:prefill"},
       ignores_last_key},
      {"decode_without_merge_rescale",
       "decode_attention/v2 split_plus_one dtype=bf16",
       "splits are merged without the factors of their maxima",
       {"E0", "E1", "B", "S", "I:prefill", "I:batch_position"},
       merge_without_rescale},
      {"stale_page",
       "decode_attention/v3 pages_of_64 dtype=bf16",
       "one entry of the page table is out of date",
       {"E0", "E1", "B", "S", "I:prefill", "I:batch_position", "I:padding", "I:contiguous"},
       stale_page},
      {"neighbours_table_row",
       "decode_attention/v2 pages_of_16 dtype=f16",
       "sequences read with the first one's row of the page table",
       {"E0", "E1", "B", "S", "I:sequence_alone", "I:contiguous"},
       neighbours_table_row},
      {"page_offset_by_one",
       "decode_attention/v3 pages_of_16 dtype=bf16",
       "keys are looked for one row further in their page",
       // A row that nobody wrote is NaN, and NaN never passes, not even beside itself.
       {"E1", "N", "B", "S", "I:repeat", "I:poison", "I:order", "I:wave", "I:workers", "I:streams", "I:sequence_alone",
        "I:contiguous"},
       page_offset_by_one},
      {"mask_one_key_late",
       "prefill_attention/v2 spare_capacity dtype=f16",
       "a query sees the key after its own",
       {"E0", "E1", "B", "S", "I:decode"},
       sees_one_key_more},
      {"wrong_gqa_map",
       "prefill_attention/v1 gqa_2 dtype=bf16",
       "head h reads KV head h mod n_kv_heads",
       {"E0", "E1", "N", "B", "S", "I:decode"},
       other_head_map},
      {"scale_omitted",
       "prefill_attention/v2 n_tokens=16 n_kv=83 n_heads=4 n_kv_heads=2 dtype=f16",
       "scores are not divided by sqrt(head_dim)",
       {"E1", "B", "S", "I:decode"},
       no_scale},
      {"swapped_heads",
       "prefill_attention/v1 tile_plus_one dtype=f16",
       "two heads of the last query change places",
       {"E0", "E1", "N", "B", "S", "I:decode", "I:batch_position", "I:query_alone", "I:chunks"},
       swaps_heads},
      {"last_query_unwritten",
       "prefill_attention/v2 tile_plus_one dtype=bf16",
       "the ragged last row is never stored",
       {"E0", "E1", "N", "B", "S", "I:poison", "I:decode", "I:batch_position", "I:query_alone", "I:chunks"},
       leaves_last_query_unwritten},
      {"chunk_dependent_order",
       "prefill_attention/v2 tile_plus_one dtype=f16",
       "small calls add in another order",
       {"I:query_alone", "I:chunks"},
       depends_on_chunk},
      {"batch_dependent_order",
       "prefill_attention/v2 split_plus_one dtype=f16",
       "batches add in another order",
       {"I:batch_position"},
       depends_on_batch},
      {"capacity_dependent_order",
       "prefill_attention/v2 tile_plus_one dtype=f16",
       "a longer cache is added up in another order",
       {"I:padding"},
       depends_on_capacity},
  };
}

}  // namespace greta::verify
