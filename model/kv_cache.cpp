#include "model/kv_cache.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace greta::model {

KvCache::KvCache(int64_t n_layers, int64_t n_slots, int64_t capacity, int64_t n_kv_heads, int64_t head_dim, DType dtype)
    : n_slots_(n_slots), capacity_(capacity), row_(n_kv_heads * head_dim), dtype_(dtype) {
  if (dtype != DType::kF16 && dtype != DType::kBF16)
    throw_invalid(fmt::format("KV cache: dtype must be f16 or bf16, got {}", dtype_name(dtype)));
  if (n_slots < 1 || capacity < 1) throw_invalid("KV cache: slots and capacity must be at least 1");
  const size_t elements = static_cast<size_t>(n_slots) * slot_elements();
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    k_.emplace_back(fmt::format("kv_cache.{}.k", layer), dtype, elements);
    v_.emplace_back(fmt::format("kv_cache.{}.v", layer), dtype, elements);
  }
  lengths_.assign(static_cast<size_t>(n_slots), 0);
  writers_.assign(static_cast<size_t>(n_slots),
                  std::vector<KvWriter>(static_cast<size_t>(capacity), KvWriter::kNobody));
}

size_t KvCache::bytes() const {
  size_t total = 0;
  for (const auto& t : k_) total += 2 * t.bytes();
  return total;
}

void KvCache::check_room(int64_t slot, int64_t n) const {
  if (slot < 0 || slot >= n_slots_) throw_invalid(fmt::format("KV cache: slot {} of {} slots", slot, n_slots_));
  if (length(slot) + n > capacity_)
    throw_invalid(
        fmt::format("KV cache: slot {} holds {} positions and {} more do not fit a context of {}; shorten the "
                    "prompt or ask for a longer context",
                    slot, length(slot), n, capacity_));
}

void KvCache::extend(int64_t slot, int64_t n, KvWriter writer) {
  check_room(slot, n);
  auto& length = lengths_[static_cast<size_t>(slot)];
  for (int64_t i = 0; i < n; ++i) writers_[static_cast<size_t>(slot)][static_cast<size_t>(length + i)] = writer;
  length += n;
}

void KvCache::truncate(int64_t slot, int64_t length) {
  check_room(slot, 0);
  auto& have = lengths_[static_cast<size_t>(slot)];
  if (length < 0 || length > have)
    throw_invalid(fmt::format("KV cache: slot {} holds {} positions and cannot be cut to {}", slot, have, length));
  auto& writers = writers_[static_cast<size_t>(slot)];
  std::fill(writers.begin() + length, writers.end(), KvWriter::kNobody);
  have = length;
}

void KvCache::copy_row(hip::Stream& stream, int64_t from_slot, int64_t to_slot, int64_t position,
                       int64_t from_position) {
  if (position >= length(from_slot) || position >= length(to_slot))
    throw_invalid(fmt::format("KV cache: row {} is not written in slot {} or {}", position, from_slot, to_slot));
  const size_t row_bytes = static_cast<size_t>(row_) * static_cast<size_t>(dtype_block_bytes(dtype_));
  const size_t from =
      (slot_elements() * static_cast<size_t>(from_slot)) * static_cast<size_t>(dtype_block_bytes(dtype_)) +
      static_cast<size_t>(from_position < 0 ? position : from_position) * row_bytes;
  const size_t to = (slot_elements() * static_cast<size_t>(to_slot)) * static_cast<size_t>(dtype_block_bytes(dtype_)) +
                    static_cast<size_t>(position) * row_bytes;
  for (size_t layer = 0; layer < k_.size(); ++layer) {
    hip::copy_on_device(stream, k_[layer].id(), to, k_[layer].id(), from, row_bytes);
    hip::copy_on_device(stream, v_[layer].id(), to, v_[layer].id(), from, row_bytes);
  }
  writers_[static_cast<size_t>(to_slot)][static_cast<size_t>(position)] = KvWriter::kAligned;
}

std::vector<int64_t> KvCache::writers(int64_t slot, int64_t n) const {
  std::vector<int64_t> counts(4, 0);
  for (int64_t i = 0; i < n; ++i)
    ++counts[static_cast<size_t>(writers_[static_cast<size_t>(slot)][static_cast<size_t>(i)])];
  return counts;
}

void KvCache::clear(hip::Stream& stream) {
  for (auto& t : k_) t.poison(stream);
  for (auto& t : v_) t.poison(stream);
  lengths_.assign(lengths_.size(), 0);
  for (auto& w : writers_) w.assign(w.size(), KvWriter::kNobody);
}

}  // namespace greta::model
