// Making and joining results of checks: shared by the tiers (tiers.cpp) and their part I (invariance.cpp).
#pragma once

#include "kernels/hip/runtime.hpp"
#include "verify/tiers.hpp"

namespace greta::verify {

CheckResult make(results::Verdict verdict, std::string reason, std::string detail = {});
inline CheckResult skip(std::string reason) { return make(results::Verdict::kSkip, std::move(reason)); }
inline CheckResult green() { return make(results::Verdict::kPass, {}); }

/// The worse of two results stays; measured values are the first's.
void join(CheckResult& into, CheckResult&& next);

/// All outputs of a launch against wanted tensors.
CheckResult compare_all(const std::vector<Output>& got, const std::vector<Tensor>& want);

/// Two launches that must agree in every bit; `what` tells them apart in the report.
CheckResult compare_launches(const std::vector<Output>& first, const std::vector<Output>& second,
                             const std::string& what);

/// A number that stands for every element that a launch writes, NaN as one of them.
std::string digest(const std::vector<Output>& outputs);

results::Json launches_of(const hip::LaunchLog& log);

}  // namespace greta::verify
