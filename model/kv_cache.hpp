// The KV cache: K and V rows of every layer, by slot (sequence) and position, and who wrote each row.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/hip/tensor.hpp"

namespace greta::model {

/// Which kind of pass wrote a KV row. The gate checks what a path really read against what its flags promised.
enum class KvWriter : uint8_t { kNobody, kPrefill, kDecode, kAligned };

class KvCache {
 public:
  /// K and V each [n_slots, capacity, n_kv_heads, head_dim] of `dtype` (f16 or bf16) for every layer; poisoned.
  KvCache(int64_t n_layers, int64_t n_slots, int64_t capacity, int64_t n_kv_heads, int64_t head_dim, DType dtype);

  int64_t n_slots() const { return n_slots_; }
  int64_t capacity() const { return capacity_; }
  DType dtype() const { return dtype_; }
  size_t bytes() const;
  /// Positions filled in the slot; the next token goes to this position.
  int64_t length(int64_t slot) const { return lengths_[static_cast<size_t>(slot)]; }

  /// The whole tensors of a layer, all slots; and one slot of it [capacity, n_kv_heads, head_dim].
  hip::AnyView k(int64_t layer) const { return k_[static_cast<size_t>(layer)].view(); }
  hip::AnyView v(int64_t layer) const { return v_[static_cast<size_t>(layer)].view(); }
  hip::AnyView k(int64_t layer, int64_t slot) const {
    return k(layer).slice(slot_elements() * static_cast<size_t>(slot), slot_elements());
  }
  hip::AnyView v(int64_t layer, int64_t slot) const {
    return v(layer).slice(slot_elements() * static_cast<size_t>(slot), slot_elements());
  }

  /// Notes that positions [length, length + n) of the slot were written, and moves its length. Throws kInvalidArgument
  /// when the capacity does not hold them.
  void extend(int64_t slot, int64_t n, KvWriter writer);
  /// Forgets the positions of the slot from `length` on; the next token goes there.
  void truncate(int64_t slot, int64_t length);
  void check_room(int64_t slot, int64_t n) const;
  /// Copies row `position` of every layer from one slot to another: the KV-aligned control. `from_position` other than
  /// -1 is a row that does not belong there, for planted defects.
  void copy_row(hip::Stream& stream, int64_t from_slot, int64_t to_slot, int64_t position, int64_t from_position = -1);
  /// Rows [0, n) of the slot by writer: {nobody, prefill, decode, aligned}.
  std::vector<int64_t> writers(int64_t slot, int64_t n) const;
  /// Forgets and poisons every row.
  void clear(hip::Stream& stream);

 private:
  size_t slot_elements() const { return static_cast<size_t>(capacity_ * row_); }
  int64_t n_slots_, capacity_, row_;
  DType dtype_;
  std::vector<hip::DeviceTensor> k_, v_;
  std::vector<int64_t> lengths_;
  std::vector<std::vector<KvWriter>> writers_;
};

}  // namespace greta::model
