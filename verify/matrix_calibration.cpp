#include "verify/matrix_calibration.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <map>

#include "kernels/hip/error.hpp"
#include "kernels/hip/runtime.hpp"
#include "kernels/matrix_tiles/matrix_tiles.hpp"
#include "reference/random.hpp"
#include "verify/tensor.hpp"

namespace greta::verify {
namespace {

using reference::Random;
using State = Calibration::State;

constexpr int64_t kTileElements = 256;
constexpr int64_t kTilesAtOnce = 512;

/// Operands of one tile, as bits.
struct Tile {
  uint16_t a[256], b[256];
  float c[256];
};

struct Format {
  DType dtype;
  int largest;   ///< exponent of the largest finite numbers
  int smallest;  ///< of the smallest normal ones
  uint16_t finite_mask;
};
constexpr Format kF16 = {DType::kF16, 15, -14, 0x7c00};
constexpr Format kBF16 = {DType::kBF16, 127, -126, 0x7f80};

uint16_t bits_of(const Format& f, float v) {
  return f.dtype == DType::kF16 ? half_from_float(v).bits : bf16_from_float(v).bits;
}
float value_of(const Format& f, uint16_t bits) {
  return f.dtype == DType::kF16 ? half_to_float({bits}) : bf16_to_float({bits});
}
bool finite(const Format& f, uint16_t bits) { return (bits & f.finite_mask) != f.finite_mask; }

/// A number of either sign in [2^low, 2^(high + 1)), its exponent uniform.
float spread(Random& r, int low, int high) {
  const int exponent = low + static_cast<int>(r.below(static_cast<uint64_t>(high - low + 1)));
  const float v = std::ldexp(static_cast<float>(1.0 + r.uniform()), exponent);
  return r.below(2) ? v : -v;
}

struct Distribution {
  const char* name;
  void (*draw)(Random&, const Format&, Tile&);
  /// Empty, or why this distribution is not held against cdna3.
  const char* not_judged_on_cdna3 = "";
};

template <class A, class B, class C>
void fill(Tile& t, A a, B b, C c) {
  for (int i = 0; i < 256; ++i) t.a[i] = a(i), t.b[i] = b(i), t.c[i] = c(i);
}

const Distribution kDistributions[] = {
    {"normal",
     [](Random& r, const Format& f, Tile& t) {
       const auto n = [&](int) { return bits_of(f, r.normal()); };
       fill(t, n, n, [&](int) { return 4 * r.normal(); });
     }},
    {"wide exponents",
     [](Random& r, const Format& f, Tile& t) {
       const int reach = f.dtype == DType::kF16 ? 12 : 40;
       const auto n = [&](int) { return bits_of(f, spread(r, -reach, reach)); };
       fill(t, n, n, [&](int) { return spread(r, -2 * reach, 2 * reach); });
     }},
    {"near exponents",  // sums whose last bits are at stake in every output
     [](Random& r, const Format& f, Tile& t) {
       const auto n = [&](int) { return bits_of(f, spread(r, -3, 3)); };
       fill(t, n, n, [&](int) { return spread(r, -8, 8); });
     }},
    {"subnormal",  // a subnormal, b large enough for some sums to be normal; c subnormal as f32 for bf16
     [](Random& r, const Format& f, Tile& t) {
       const uint16_t fraction = f.dtype == DType::kF16 ? 0x3ff : 0x7f;
       fill(
           t, [&](int) { return static_cast<uint16_t>((r.next() & fraction) | (r.below(2) << 15)); },
           [&](int) { return bits_of(f, spread(r, f.smallest / 2, f.largest / 2)); },
           [&](int) { return spread(r, f.dtype == DType::kF16 ? -40 : -149, f.dtype == DType::kF16 ? -10 : -110); });
     }},
    {"half zeros",
     [](Random& r, const Format& f, Tile& t) {
       const auto n = [&](int) {
         return r.below(2) ? bits_of(f, r.normal()) : static_cast<uint16_t>(r.below(2) << 15);
       };
       fill(t, n, n, [&](int) { return r.below(2) ? r.normal() : 0.0f; });
     }},
    {"cancellation",  // products come in pairs that nearly cancel
     [](Random& r, const Format& f, Tile& t) {
       const auto n = [&](int) { return bits_of(f, spread(r, -4, 4)); };
       fill(t, n, n, [&](int) { return spread(r, -24, -4); });
       for (int i = 0; i < 16; ++i)
         for (int k = 0; k < 16; k += 2) {
           t.a[i * 16 + k + 1] = static_cast<uint16_t>(t.a[i * 16 + k] ^ r.below(2));
           t.b[(k + 1) * 16 + i] = static_cast<uint16_t>(t.b[k * 16 + i] ^ 0x8000 ^ r.below(2));
         }
     }},
    {"one huge",
     [](Random& r, const Format& f, Tile& t) {
       const auto n = [&](int) { return bits_of(f, spread(r, -10, -6)); };
       fill(t, n, n, [&](int) { return spread(r, -20, -12); });
       for (int i = 0; i < 16; ++i) t.a[i * 16 + static_cast<int>(r.below(16))] = bits_of(f, spread(r, 8, 12));
     }},
    {"huge c",
     [](Random& r, const Format& f, Tile& t) {
       const auto n = [&](int) { return bits_of(f, spread(r, -8, 0)); };
       fill(t, n, n, [&](int) { return spread(r, 4, 20); });
     }},
    {"small integers",
     [](Random& r, const Format& f, Tile& t) {
       const auto n = [&](int) { return bits_of(f, static_cast<float>(r.below(17)) - 8); };
       fill(t, n, n, [&](int) { return static_cast<float>(r.below(1025)) - 512; });
     }},
    {"zero times huge",
     [](Random& r, const Format& f, Tile& t) {
       const int top = f.dtype == DType::kF16 ? 14 : 120;
       const auto n = [&](int) { return bits_of(f, spread(r, f.smallest / 2, f.smallest / 2 + 4)); };
       fill(t, n, n, [&](int) { return spread(r, f.smallest - 4, f.smallest + 4); });
       for (int k = 0; k < 16; ++k)
         if (r.below(3) == 0)
           for (int i = 0; i < 16; ++i) t.a[i * 16 + k] = 0, t.b[k * 16 + i] = bits_of(f, spread(r, top - 4, top));
     },
     "what gfx942 does with a bf16 zero times a huge number is not documented"},
    {"all finite bits",
     [](Random& r, const Format& f, Tile& t) {
       const auto n = [&](int) {
         uint16_t bits;
         do bits = static_cast<uint16_t>(r.next());
         while (!finite(f, bits));
         return bits;
       };
       fill(t, n, n, [&](int) {
         float v;
         do {
           const auto bits = static_cast<uint32_t>(r.next());
           std::memcpy(&v, &bits, 4);
         } while (!std::isfinite(v));
         return v;
       });
     }},
};

bool same(float x, float y) {
  uint32_t a, b;
  std::memcpy(&a, &x, 4), std::memcpy(&b, &y, 4);
  return a == b || (x == 0 && y == 0);
}

std::optional<MatrixModel>& expected_model() {
  static std::optional<MatrixModel> model;
  return model;
}

std::string describe(const Format& f, const Tile& t, int at, float got, float want) {
  std::string text = fmt::format("got {:a}, want {:a} = {:a}", got, want, t.c[at]);
  for (int k = 0; k < 16; ++k)
    text += fmt::format(" + {:a} * {:a}", value_of(f, t.a[at / 16 * 16 + k]), value_of(f, t.b[k * 16 + at % 16]));
  return text;
}

template <class T>
std::vector<float> on_device(const std::vector<Tile>& tiles) {
  const size_t n = tiles.size() * kTileElements;
  std::vector<T> a, b;
  std::vector<float> c;
  a.reserve(n), b.reserve(n), c.reserve(n);
  for (const Tile& t : tiles)
    for (int i = 0; i < 256; ++i) a.push_back({t.a[i]}), b.push_back({t.b[i]}), c.push_back(t.c[i]);
  hip::Stream stream("calibration");
  hip::DeviceBuffer<T> da("calibration.a", n), db("calibration.b", n);
  hip::DeviceBuffer<float> dc("calibration.c", n), dd("calibration.d", n);
  da.upload(stream, a), db.upload(stream, b), dc.upload(stream, c);
  multiply_tiles<T>(stream, static_cast<int64_t>(tiles.size()), da.cview(), db.cview(), dc.cview(), dd.view());
  return dd.to_host(stream);
}

CalibrationRow compare_floats(MatrixModel model, const Format& f, const Distribution& distribution, int64_t n_tiles,
                              uint64_t seed) {
  CalibrationRow row{.dtype = f.dtype, .distribution = distribution.name, .not_judged = {}, .first = {}};
  if (model == MatrixModel::kCdna3) row.not_judged = distribution.not_judged_on_cdna3;
  Random random(seed);
  for (int64_t first = 0; first < n_tiles; first += kTilesAtOnce) {
    std::vector<Tile> tiles(static_cast<size_t>(std::min(kTilesAtOnce, n_tiles - first)));
    for (Tile& t : tiles) distribution.draw(random, f, t);
    const std::vector<float> got = f.dtype == DType::kF16 ? on_device<half_t>(tiles) : on_device<bf16_t>(tiles);
    float want[256], shorter[256];
    for (size_t at = 0; at < tiles.size(); ++at) {
      const Tile& t = tiles[at];
      matrix_multiply(model, f.dtype, 16, 16, 16, t.a, t.b, t.c, want);
      matrix_multiply(model, f.dtype, 16, 16, 16, t.a, t.b, t.c, shorter, 1);
      for (int i = 0; i < 256; ++i) {
        const float g = got[at * 256 + static_cast<size_t>(i)];
        if (!std::isfinite(want[i])) {
          ++row.not_finite;
          continue;
        }
        ++row.compared;
        row.different_short += !same(g, shorter[i]);
        if (same(g, want[i])) continue;
        if (++row.different == 1) row.first = describe(f, t, i, g, want[i]);
      }
    }
  }
  return row;
}

CalibrationRow compare_bytes(const ByteTile& shape, bool extremes, int64_t outputs, uint64_t seed) {
  CalibrationRow row{.dtype = DType::kI8,
                     .distribution = fmt::format("{} {}", shape.name, extremes ? "extremes" : "any bytes"),
                     .not_judged = {},
                     .first = {}};
  const auto rows = static_cast<size_t>(shape.rows), depth = static_cast<size_t>(shape.depth);
  const size_t n_tiles = std::max<size_t>(1, static_cast<size_t>(outputs) / (rows * rows));
  const size_t operands = n_tiles * rows * depth, n = n_tiles * rows * rows;
  Random random(seed);
  std::vector<int8_t> a(operands), b(operands);
  std::vector<int32_t> c(n);
  const auto byte = [&] {
    const auto any = static_cast<int8_t>(random.next());
    return extremes ? static_cast<int8_t>(any & 1 ? 127 : -128) : any;
  };
  for (int8_t& v : a) v = byte();
  for (int8_t& v : b) v = byte();
  for (int32_t& v : c) v = static_cast<int32_t>(random.next());
  hip::Stream stream("calibration");
  hip::DeviceBuffer<int8_t> da("calibration.a", operands), db("calibration.b", operands);
  hip::DeviceBuffer<int32_t> dc("calibration.c", n), dd("calibration.d", n);
  da.upload(stream, a), db.upload(stream, b), dc.upload(stream, c);
  multiply_tiles_i8(stream, shape, static_cast<int64_t>(n_tiles), da.cview(), db.cview(), dc.cview(), dd.view());
  const std::vector<int32_t> got = dd.to_host(stream);
  for (size_t i = 0; i < n; ++i) {
    const size_t tile = i / (rows * rows) * rows * depth, r = i / rows % rows, col = i % rows;
    auto want = static_cast<uint32_t>(c[i]);
    for (size_t k = 0; k < depth; ++k)
      want += static_cast<uint32_t>(a[tile + r * depth + k] * b[tile + k * rows + col]);
    ++row.compared;
    if (static_cast<uint32_t>(got[i]) == want) continue;
    if (++row.different == 1)
      row.first = fmt::format("tile {} row {} column {}: got {}, want {}", i / (rows * rows), r, col, got[i],
                              static_cast<int32_t>(want));
  }
  return row;
}

}  // namespace

MatrixModel matrix_model_in_use() {
  if (expected_model()) return *expected_model();
  if (hip::platform_name() == "host") return hip::exec_config().matrix_model;
  return hip::platform_name() == "cuda" ? MatrixModel::kHopper : MatrixModel::kCdna3;
}

void expect_matrix_model(std::optional<MatrixModel> model) { expected_model() = model; }
std::optional<MatrixModel> expected_matrix_model() { return expected_model(); }

reference::MatrixMachine matrix_machine() { return {matrix_model_in_use(), hip::device_info().wave_size}; }

bool on_matrix_machine(std::string_view arithmetic) { return arithmetic == "online_mma" || arithmetic == "mma_f32"; }

std::string calibration_state_name(State state) {
  return state == State::kVerified ? "verified" : state == State::kRefuted ? "refuted" : "unverified";
}

Calibration calibrate_matrix_model(MatrixModel model, int64_t outputs, uint64_t seed) {
  Calibration out{.model = model, .text = {}, .rows = {}};
  const int64_t n_tiles = std::max<int64_t>(1, (outputs + kTileElements - 1) / kTileElements);
  uint64_t stream = 0;
  for (const Format& f : {kF16, kBF16})
    for (const Distribution& d : kDistributions)
      out.rows.push_back(compare_floats(model, f, d, n_tiles, reference::substream(seed, ++stream)));
  for (const ByteTile& tile : kByteTiles)
    for (const bool extremes : {false, true})
      out.rows.push_back(compare_bytes(tile, extremes, n_tiles * kTileElements, reference::substream(seed, ++stream)));

  int64_t compared = 0, different = 0;
  const CalibrationRow* worst = nullptr;
  for (const CalibrationRow& row : out.rows) {
    if (!row.not_judged.empty()) continue;
    compared += row.compared, different += row.different;
    if (row.different && !worst) worst = &row;
  }
  const std::string name(matrix_model_name(model));
  bool can_fail = true;
  for (const DType dtype : {DType::kF16, DType::kBF16})
    can_fail &= judge_calibration(out, dtype).verdict != results::Verdict::kVacuous;
  if (different) {
    out.state = State::kRefuted;
    out.text = fmt::format("{}: {} of {} outputs differ, first {} {}: {}", name, different, compared,
                           dtype_name(worst->dtype), worst->distribution, worst->first);
  } else if (hip::platform_name() == "host") {
    out.text = fmt::format("the tiles of the host platform are the model itself ({})", name);
  } else if (!can_fail) {
    out.text = fmt::format("{}: no difference, but too few outputs to tell it from a model one bit short", name);
  } else {
    out.state = State::kVerified;
    out.text = fmt::format("{}: {} outputs of f16, bf16 and i8 tiles, no difference", name, compared);
  }
  return out;
}

results::Outcome judge_calibration(const Calibration& calibration, DType dtype) {
  using results::Verdict;
  int64_t compared = 0, found_out = 0;
  for (const CalibrationRow& row : calibration.rows) {
    if (row.dtype != dtype) continue;
    compared += row.compared, found_out += row.different_short;
    if (row.different && row.not_judged.empty())
      return {Verdict::kFail,
              fmt::format("{} {}: {} of {} outputs are not the {} model's; {}", dtype_name(dtype), row.distribution,
                          row.different, row.compared, matrix_model_name(calibration.model), row.first)};
  }
  if (compared == 0) return {Verdict::kVacuous, fmt::format("no {} output was compared", dtype_name(dtype))};
  if (dtype != DType::kI8 && calibration.model != MatrixModel::kFmaf && found_out == 0)
    return {Verdict::kVacuous, "a model one fraction bit short agrees as well: the inputs tell nothing"};
  return {Verdict::kPass, {}};
}

const Calibration& matrix_calibration_here() {
  static std::map<std::pair<MatrixModel, MatrixModel>, Calibration>
      known;  // by model and, on host, what tiles run with
  const MatrixModel model = matrix_model_in_use();
  const std::pair key(model, hip::exec_config().matrix_model);
  const auto found = known.find(key);
  if (found != known.end()) return found->second;
  // On host nothing can be learnt from a run when the tiles are run with the model: no verb shall pay for it.
  if (hip::platform_name() == "host" && model == hip::exec_config().matrix_model)
    return known
        .emplace(key, Calibration{.model = model,
                                  .text = fmt::format("the tiles of the host platform are the model itself ({})",
                                                      matrix_model_name(model)),
                                  .rows = {}})
        .first->second;
  return known.emplace(key, calibrate_matrix_model(model, kCalibrationGlance, 1)).first->second;
}

}  // namespace greta::verify
