// Drawing inputs: the same seed gives the same bytes on every platform.
#pragma once

#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "reference/random.hpp"
#include "verify/operator.hpp"

namespace greta::verify {

/// Normal values of that sigma, rounded to the tensor's type.
inline Tensor normal(Tensor shape, float sigma, uint64_t seed) {
  reference::Random random(seed);
  for (int64_t i = 0; i < shape.count(); ++i) shape.set(i, sigma * random.normal());
  return shape;
}

/// Whole numbers in [low, high].
inline Tensor whole(Tensor shape, int low, int high, uint64_t seed) {
  reference::Random random(seed);
  for (int64_t i = 0; i < shape.count(); ++i)
    shape.set(i, static_cast<float>(low + static_cast<int>(random.below(static_cast<uint64_t>(high - low + 1)))));
  return shape;
}

/// 0 .. n - 1 in an order of the seed's.
template <class Int>
std::vector<Int> permutation(int64_t n, uint64_t seed) {
  std::vector<Int> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), Int{0});
  reference::Random random(seed);
  for (size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random.below(i)]);
  return all;
}

/// Appends "slots" and "positions" [n_tokens] i32: tokens go to different places of a KV cache, in no order.
inline void draw_places(int64_t n_tokens, int64_t n_slots, int64_t kv_capacity, uint64_t seed, Data& data) {
  const std::vector<int64_t> places = permutation<int64_t>(n_slots * kv_capacity, seed);
  Tensor slots("slots", DType::kI32, {{"t", n_tokens}}), positions("positions", DType::kI32, {{"t", n_tokens}});
  for (int64_t t = 0; t < n_tokens; ++t) {
    slots.set(t, static_cast<float>(places[static_cast<size_t>(t)] / kv_capacity));
    positions.set(t, static_cast<float>(places[static_cast<size_t>(t)] % kv_capacity));
  }
  data.tensors.push_back(std::move(slots));
  data.tensors.push_back(std::move(positions));
}

/// A tensor of the shape with these values, rounded to its type.
inline Tensor filled(Tensor shape, std::span<const float> values) {
  shape.set_floats(values);
  return shape;
}

/// The rows [row, row + rows) of the outermost dimension.
inline Tensor rows_of(const Tensor& from, int64_t row, int64_t rows) {
  Tensor out(from.name, from.dtype, from.dims);
  const size_t stride = out.bytes.size() / static_cast<size_t>(from.dims[0].size);
  out.dims[0].size = rows;
  const auto begin = from.bytes.begin() + row * static_cast<int64_t>(stride);
  out.bytes.assign(begin, begin + rows * static_cast<int64_t>(stride));
  return out;
}

/// The tensor with every row of the outermost dimension but `keep` made NaN.
inline Tensor nan_around(Tensor tensor, int64_t keep) {
  const int64_t stride = tensor.count() / tensor.dims[0].size;
  for (int64_t i = 0; i < tensor.count(); ++i)
    if (i / stride != keep) tensor.set(i, std::nanf(""));
  return tensor;
}

/// A relation of one further launch on the same operator, one range of elements compared.
inline Relation one_step(std::string name, std::string problem, std::vector<Tensor> inputs, Relation::Piece piece) {
  Relation relation;
  relation.name = std::move(name);
  Relation::Step& step = relation.steps.emplace_back();
  step.problem = std::move(problem);
  step.data.tensors = std::move(inputs);
  step.pieces.push_back(piece);
  return relation;
}

}  // namespace greta::verify
