// The pieces of attention on matrix tiles, each against plain loops, on both waves: a tile of K and V through the copy
// pipeline into LDS and the operands; scores of small integers, which are exact in every arithmetic, so that one
// element in a wrong place shows; p and l; the product with V; a chain of tiles that reuses every buffer.
#include "kernels/tile/mma_attention.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/hip/launch.hpp"
#include "kernels/tile/kernel_testing.hpp"
#include "kernels/tile/kv_pipeline.hpp"

namespace greta {
namespace {

constexpr int kFragments = 2, kThreads = 128;

template <class T, int kHeadDim, int kWave>
using Pieces = MmaAttention<T, kHeadDim, kWave, kFragments>;
template <class T, int kHeadDim, int kWave>
using Pipeline = KvPipeline<T, kHeadDim, kWave, kThreads, kv_buffers(kWave, kHeadDim, hip::kLdsBytes), ContiguousRows>;

/// For each tile of 64 keys: scores of the workgroup's rows (wave w has rows 32 w ..), and o = sum over tiles of P V,
/// with P the scores rounded to T; no softmax in between. One workgroup.
template <class T, int kHeadDim, int kWave>
__global__ void products(const T* q, const T* k, const T* v, float* scores, float* o, int n_rows, int n_keys) {
  using Tile = Pieces<T, kHeadDim, kWave>;
  GRETA_DYNAMIC_LDS(T, lds);
  const int first = hip::wave_id() * Tile::kRows;
  typename Tile::Queries queries;
  Tile::load_queries(queries, [&](int r) { return first + r < n_rows ? q + (first + r) * kHeadDim : nullptr; });
  typename Tile::State state;
  Tile::reset(state);
  const int tiles = (n_keys + kKvTileKeys - 1) / kKvTileKeys;
  Pipeline<T, kHeadDim, kWave> kv(lds, k, v, ContiguousRows{kHeadDim}, n_keys, 0, tiles);
  kv.start();
  for (int tile = 0; tile < tiles; ++tile) {
    typename Tile::Scores s;
    Tile::score_mma(s, kv.next_keys(), queries);
    for (int f = 0; f < kFragments; ++f)
      for (int b = 0; b < Tile::kKeyBlocks; ++b)
        for (int i = 0; i < Tile::kElements; ++i) {
          const int row = first + 16 * f + Tile::row_in_fragment(Tile::slot_of(i));
          const int key = tile * kKvTileKeys + 16 * b + Tile::lane_key() + Tile::key_of(i);
          if (row < n_rows && key < n_keys) scores[row * n_keys + key] = s[f][b].v[i];
        }
    typename Tile::Weights p;
    Tile::to_operand(p, s);
    Tile::pv_mma(state.o, kv.next_values(), p);
  }
  for (int f = 0; f < kFragments; ++f)
    for (int c = 0; c < Tile::kChannelBlocks; ++c)
      for (int i = 0; i < Tile::kElements; ++i) {
        const int row = first + 16 * f + Tile::row_in_fragment(Tile::slot_of(i));
        if (row < n_rows) o[row * kHeadDim + 16 * c + Tile::channel_of(i)] = state.o[f][c].v[i];
      }
}

/// Entries in -2 .. 2 without symmetry.
std::vector<float> entries(int rows, int columns, int seed) {
  std::vector<float> values;
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c) values.push_back(static_cast<float>((r * 7 + c * 3 + r * c * 5 + seed) % 5 - 2));
  return values;
}

template <class T, int kHeadDim>
void products_land_where_they_belong(int n_keys) {
  constexpr int kRows = 51;  // ragged: the second wave of 64 has 19 of its 32 rows
  hip::Stream stream;
  const std::vector<float> q = entries(kRows, kHeadDim, 1), k = entries(n_keys, kHeadDim, 2),
                           v = entries(n_keys, kHeadDim, 3);
  const DType dtype = dtype_of<T>::value;
  const auto dq = testing_support::tensor_of(stream, "q", dtype, q),
             dk = testing_support::tensor_of(stream, "k", dtype, k),
             dv = testing_support::tensor_of(stream, "v", dtype, v);
  hip::DeviceBuffer<float> scores("scores", kRows * n_keys), o("o", kRows * kHeadDim);
  with_wave([&](auto wave) {
    constexpr int kWave = decltype(wave)::value;
    constexpr size_t kLds = 2 * Pipeline<T, kHeadDim, kWave>::kLdsElements;
    hip::launch(stream, {"products", dim3(1), dim3(kThreads), kLds}, &products<T, kHeadDim, kWave>,
                hip::in("q", dq.view().template as<const T>("q"), q.size()),
                hip::in("k", dk.view().template as<const T>("k"), k.size()),
                hip::in("v", dv.view().template as<const T>("v"), v.size()),
                hip::out("scores", scores.view(), scores.count()), hip::out("o", o.view(), o.count()), kRows, n_keys);
  });
  stream.synchronize();
  const std::vector<float> got_scores = scores.to_host(stream), got_o = o.to_host(stream);
  int wrong_scores = 0, wrong_o = 0;
  for (int r = 0; r < kRows; ++r) {
    std::vector<float> p(n_keys);
    for (int j = 0; j < n_keys; ++j) {
      float s = 0;
      for (int c = 0; c < kHeadDim; ++c) s += q[r * kHeadDim + c] * k[j * kHeadDim + c];
      wrong_scores += got_scores[r * n_keys + j] != s;
      p[j] = testing_support::rounded(dtype, s);
    }
    for (int c = 0; c < kHeadDim; ++c) {
      float sum = 0;
      for (int j = 0; j < n_keys; ++j) sum += p[j] * v[j * kHeadDim + c];
      wrong_o += got_o[r * kHeadDim + c] != sum;
    }
  }
  EXPECT_EQ(wrong_scores, 0) << "n_keys " << n_keys;
  EXPECT_EQ(wrong_o, 0) << "n_keys " << n_keys;
}

TEST(MmaAttention, ProductsLandWhereTheyBelong) {
  testing_support::for_every_schedule([&](const std::string& label) {
    SCOPED_TRACE(label);
    for (const int n_keys : {64, 7, 200, 328}) {  // 328: six tiles, every buffer used twice
      products_land_where_they_belong<half_t, 64>(n_keys);
      products_land_where_they_belong<bf16_t, 128>(n_keys);
    }
  });
}

/// softmax() of given scores, twice: the second tile continues the first. One wave.
template <int kWave>
__global__ void softmax_rows(const float* scores, float* p, float* m, float* l, float* a, int n_visible, float scale) {
  using Tile = Pieces<half_t, 64, kWave>;
  typename Tile::State state;
  Tile::reset(state);
  for (int tile = 0; tile < 2; ++tile) {
    typename Tile::Scores s;
    typename Tile::PerRow rescale;
    const auto at = [&](int f, int b, int i) {
      return (16 * f + Tile::row_in_fragment(Tile::slot_of(i))) * 128 + tile * 64 + 16 * b + Tile::lane_key() +
             Tile::key_of(i);
    };
    for (int f = 0; f < kFragments; ++f)
      for (int b = 0; b < 4; ++b)
        for (int i = 0; i < Tile::kElements; ++i) s[f][b].v[i] = scores[at(f, b, i)];
    const auto hidden = [&](int, int) { return n_visible - 64 * tile; };
    if (64 * (tile + 1) > n_visible)
      Tile::template softmax<ExpMode::kPortable, true>(s, rescale, state, scale, hidden);
    else
      Tile::template softmax<ExpMode::kPortable, false>(s, rescale, state, scale, hidden);
    for (int f = 0; f < kFragments; ++f) {
      for (int b = 0; b < 4; ++b)
        for (int i = 0; i < Tile::kElements; ++i) p[at(f, b, i)] = s[f][b].v[i];
      for (int r = 0; r < Tile::kLaneRows; ++r) a[2 * (16 * f + Tile::row_in_fragment(r)) + tile] = rescale[f][r];
    }
  }
  Tile::finish_split(state);
  for (int f = 0; f < kFragments; ++f)
    for (int r = 0; r < Tile::kLaneRows; ++r) {
      m[16 * f + Tile::row_in_fragment(r)] = state.m[f][r];
      l[16 * f + Tile::row_in_fragment(r)] = state.l[f][r];
    }
}

TEST(MmaAttention, SoftmaxKeepsTheDefinedOrderOnBothWaves) {
  constexpr int kRows = 32;
  constexpr float kScale = 0.7f;
  const std::vector<float> x = testing_support::random_values(kRows * 128, 5, 3.0f);
  testing_support::for_every_schedule([&](const std::string& label) {
    for (const int n_visible : {128, 127, 65, 64}) {
      SCOPED_TRACE(label + " visible " + std::to_string(n_visible));
      hip::Stream stream;
      const auto scores = testing_support::buffer_of(stream, "scores", x);
      hip::DeviceBuffer<float> p("p", x.size()), m("m", kRows), l("l", kRows), a("a", 2 * kRows);
      with_wave([&](auto wave) {
        constexpr int kWave = decltype(wave)::value;
        hip::launch(stream, {"softmax_rows", dim3(1), dim3(kWave)}, &softmax_rows<kWave>,
                    hip::in("scores", scores.cview(), x.size()), hip::out("p", p.view(), x.size()),
                    hip::out("m", m.view(), kRows), hip::out("l", l.view(), kRows), hip::out("a", a.view(), 2 * kRows),
                    n_visible, kScale);
      });
      stream.synchronize();
      std::vector<float> want_p(x.size()), want_m, want_l, want_a;
      for (int row = 0; row < kRows; ++row) {
        float running = -INFINITY, parts[4] = {};
        for (int tile = 0; tile < 2; ++tile) {
          float top = -INFINITY;
          for (int j = 64 * tile; j < std::min(64 * tile + 64, n_visible); ++j) top = std::max(top, x[row * 128 + j]);
          const float next = std::max(running, top * kScale);
          const float rescale = running == -INFINITY ? 1.0f : exp2_portable(running - next);
          running = next;
          for (int g = 0; g < 4; ++g) {
            float u[4];
            for (int b = 0; b < 4; ++b) {
              float w[4];
              for (int i = 0; i < 4; ++i) {
                const int j = 64 * tile + 16 * b + 4 * g + i;
                w[i] = j < n_visible ? exp2_portable(fmaf(x[row * 128 + j], kScale, -next)) : 0.0f;
                want_p[row * 128 + j] = w[i];
              }
              u[b] = (w[0] + w[1]) + (w[2] + w[3]);
            }
            parts[g] = fmaf(parts[g], rescale, (u[0] + u[1]) + (u[2] + u[3]));
          }
          want_a.push_back(rescale);
        }
        want_m.push_back(running), want_l.push_back((parts[0] + parts[1]) + (parts[2] + parts[3]));
      }
      EXPECT_EQ(testing_support::difference(want_p, p.to_host(stream)), "") << "p";
      EXPECT_EQ(testing_support::difference(want_m, m.to_host(stream)), "") << "m";
      EXPECT_EQ(testing_support::difference(want_l, l.to_host(stream)), "") << "l";
      EXPECT_EQ(testing_support::difference(want_a, a.to_host(stream)), "") << "a";
    }
  });
}

}  // namespace
}  // namespace greta
