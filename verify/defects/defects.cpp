#include "verify/defects/defects.hpp"

#include <fmt/format.h>

#include "kernels/hip/problem.hpp"

namespace greta::verify {

const std::vector<Defect>& defects() {
  static const std::vector<Defect> all = [] {
    std::vector<Defect> out;
    for (auto&& part : {attention_defects(), matmul_defects(), elementwise_defects()})
      out.insert(out.end(), part.begin(), part.end());
    return out;
  }();
  return all;
}

int64_t field(const std::string& problem, const std::string& key) {
  for (const auto& [k, v] : problem_detail::split_line(problem))
    if (k == key) return problem_detail::parse_integer(k, v);
  throw_invalid(fmt::format("no field {} in {}", key, problem));
}

std::string with_field(const std::string& problem, const std::string& key, int64_t value) {
  std::string out;
  for (const auto& [k, v] : problem_detail::split_line(problem))
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", k, k == key ? std::to_string(value) : v);
  return out;
}

void nudge(Tensor& tensor, int64_t i, int ulps) {
  const uint32_t bits = tensor.bits(i) + static_cast<uint32_t>(ulps);
  const auto size = static_cast<size_t>(tensor.element_bytes());
  std::memcpy(tensor.bytes.data() + static_cast<size_t>(i) * size, &bits, size);
}

}  // namespace greta::verify
