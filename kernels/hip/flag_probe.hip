// The kernel of the flag probe: plain operators, so that the flags decide what they become.
#include "kernels/hip/flag_probe.hpp"

#include <vector>

#include "kernels/hip/launch.hpp"

namespace greta::hip {
namespace {

using Operation = ProbeItem::Operation;

__global__ void flag_probe_kernel(const int32_t* operation, const float* operands, int32_t* results, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  const float a = operands[3 * i], b = operands[3 * i + 1], c = operands[3 * i + 2];
  uint32_t result = 0;
  switch (static_cast<Operation>(operation[i])) {
    case Operation::kMultiplyAdd:
      result = float_bits(a * b + c);
      break;
    case Operation::kFma:
      result = float_bits(fmaf(a, b, c));
      break;
    case Operation::kMultiply:
      result = float_bits(a * b);
      break;
    case Operation::kDivide:
      result = float_bits(a / b);
      break;
    case Operation::kSqrt:
      result = float_bits(sqrtf(a));
      break;
    case Operation::kReciprocalSqrt:
      result = float_bits(1.0f / sqrtf(a));
      break;
    case Operation::kToHalf:
      result = from_float<half_t>(a).bits;
      break;
    case Operation::kToBfloat16:
      result = from_float<bf16_t>(a).bits;
      break;
  }
  results[i] = static_cast<int32_t>(result);
}

}  // namespace

FlagProbe run_flag_probe(Stream& stream) {
  const auto& items = flag_probe_items();
  const size_t n = items.size();
  std::vector<int32_t> operation(n);
  std::vector<float> operands(3 * n);
  for (size_t i = 0; i < n; ++i) {
    operation[i] = static_cast<int32_t>(items[i].operation);
    operands[3 * i] = items[i].a, operands[3 * i + 1] = items[i].b, operands[3 * i + 2] = items[i].c;
  }
  DeviceBuffer<int32_t> d_operation("flag_probe.operation", n), d_results("flag_probe.results", n);
  DeviceBuffer<float> d_operands("flag_probe.operands", 3 * n);
  d_operation.upload(stream, operation);
  d_operands.upload(stream, operands);
  launch(stream, {"flag_probe", dim3(static_cast<unsigned>((n + 255) / 256)), dim3(256)}, &flag_probe_kernel,
         in("operation", d_operation.cview(), n), in("operands", d_operands.cview(), 3 * n),
         out("results", d_results.view(), n), static_cast<int>(n));
  const auto results = d_results.to_host(stream);
  return decode_flag_probe(std::vector<uint32_t>(results.begin(), results.end()));
}

}  // namespace greta::hip
