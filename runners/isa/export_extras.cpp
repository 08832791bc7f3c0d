// Launches that no problem of the verify room leads to: kernels for buffers that do not start on 16 bytes, and what is
// no operator.
#include <bit>
#include <random>

#include "kernels/argmax/argmax.hpp"
#include "kernels/ceilings/ceilings.hpp"
#include "kernels/hip/flag_probe.hpp"
#include "kernels/hip/tensor.hpp"
#include "kernels/quant_matmul/quant_matmul.hpp"
#include "kernels/residual_add/residual_add.hpp"
#include "kernels/swiglu/swiglu.hpp"
#include "runners/isa/export_draws.hpp"

namespace greta::runners::isa {
namespace {

/// Numbers of a normal size in any float type, `skip` elements after the start of an allocation.
class Numbers {
 public:
  Numbers(const char* name, DType dtype, size_t count, hip::Stream& stream, uint64_t seed, size_t skip = 0)
      : tensor_(name, dtype, count + skip), skip_(skip) {
    std::mt19937_64 random(seed);
    const size_t size = static_cast<size_t>(dtype_block_bytes(dtype));
    std::vector<uint8_t> bytes(tensor_.bytes());
    for (size_t i = 0; i < count + skip; ++i) {
      const float value = static_cast<float>(static_cast<int64_t>(random() % 4001) - 2000) / 512.0f;
      const uint32_t bits = dtype == DType::kF32   ? std::bit_cast<uint32_t>(value)
                            : dtype == DType::kF16 ? from_f32<half_t>(value).bits
                                                   : from_f32<bf16_t>(value).bits;
      for (size_t b = 0; b < size; ++b) bytes[i * size + b] = static_cast<uint8_t>(bits >> 8 * b);
    }
    tensor_.upload_bytes(stream, bytes.data(), bytes.size());
  }
  hip::AnyView view() const { return tensor_.view().slice(skip_, tensor_.count() - skip_); }
  hip::DeviceView<float> floats() const { return view().as<float>("numbers"); }

 private:
  hip::DeviceTensor tensor_;
  size_t skip_;
};

constexpr DType kFloats[] = {DType::kF16, DType::kBF16, DType::kF32};

void swiglu_unaligned(hip::Stream& stream, uint64_t seed) {
  for (const DType dtype : kFloats) {
    const SwigluProblem p{.n_rows = 2, .width = static_cast<int64_t>(131 + seed % 50), .dtype = dtype};
    const auto n = static_cast<size_t>(p.elements());
    const Numbers gate("gate", dtype, n, stream, seed, 1), up("up", dtype, n, stream, seed + 1, 1);
    hip::DeviceTensor y("y", dtype, n + 1);
    swiglu(stream, swiglu_ladder().front(), p, {gate.view(), up.view(), y.view().slice(1, n), ExpMode::kPortable});
  }
}

void residual_add_unaligned(hip::Stream& stream, uint64_t seed) {
  const ResidualAddProblem p{.n_rows = 2, .width = static_cast<int64_t>(131 + seed % 50)};
  const auto n = static_cast<size_t>(p.elements());
  const Numbers x("x", DType::kF32, n, stream, seed, 1), y("y", DType::kF32, n, stream, seed + 1, 1);
  residual_add(stream, residual_add_ladder().front(), p, {x.floats(), y.floats()});
}

void quantize_unaligned(hip::Stream& stream, uint64_t seed) {
  for (const DType weights : {DType::kQ4K, DType::kQ8_0})
    for (const DType x : kFloats) {
      const QuantMatmulProblem p{
          .m = static_cast<int64_t>(1 + seed % 3), .n_out = 1, .n_in = 256, .weights = weights, .x = x};
      const auto blocks = static_cast<size_t>(p.m * p.activation_blocks_per_row());
      const Numbers values("x", x, static_cast<size_t>(p.m * p.n_in), stream, seed, 1);
      hip::DeviceTensor out("blocks", p.activation_blocks(), blocks);
      quantize_activations(stream, p, values.view(), out.view());
    }
}

void argmax_unaligned(hip::Stream& stream, uint64_t seed) {
  const ArgmaxProblem p{.n_rows = 2, .width = static_cast<int64_t>(301 + seed % 50)};
  const Numbers logits("logits", DType::kF32, static_cast<size_t>(p.elements()), stream, seed, 1);
  hip::DeviceBuffer<int32_t> index("index", static_cast<size_t>(p.n_rows));
  argmax(stream, argmax_ladder().front(), p, {logits.floats(), index.view()});
}

void copy(hip::Stream& stream, uint64_t seed) {
  const Numbers from("from", DType::kF32, 4 * (257 + seed % 100), stream, seed);
  hip::DeviceBuffer<float> to("to", from.view().count());
  ceiling_copy(stream, from.floats(), to.view());
}

void read(hip::Stream& stream, uint64_t seed) {
  const Numbers from("from", DType::kF32, 4 * (257 + seed % 100), stream, seed);
  hip::DeviceBuffer<float> sink("sink", 1);
  ceiling_read(stream, from.floats(), sink.view());
}

template <Compute kCompute>
void compute(hip::Stream& stream, uint64_t) {
  hip::DeviceBuffer<float> sink("sink", 1);
  ceiling_compute(stream, kCompute, 2, sink.view());
}

}  // namespace

const std::vector<Extra>& extras() {
  static const std::vector<Extra> all = {
      {"swiglu/v1/unaligned", swiglu_unaligned},
      {"residual_add/v1/unaligned", residual_add_unaligned},
      {"quantize_activations/v1/unaligned", quantize_unaligned},
      {"argmax/v1/unaligned", argmax_unaligned},
      {"ceilings/v1/copy", copy},
      {"ceilings/v1/read", read},
      {"ceilings/v1/fma", compute<Compute::kF32>},
      {"ceilings/v1/dot", compute<Compute::kI8>},
      {"hip/flag_probe/all", [](hip::Stream& stream, uint64_t) { hip::run_flag_probe(stream); }},
  };
  return all;
}

}  // namespace greta::runners::isa
