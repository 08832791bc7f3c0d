#include "verify/check_result.hpp"

#include <fmt/format.h>

#include <cstring>

#include "kernels/hip/error.hpp"

namespace greta::verify {
namespace {

using results::Verdict;

results::Json histogram(const Comparison& c) {
  results::Json out = results::Json::object();
  for (int b = 0; b < kUlpBuckets; ++b)
    if (c.ulps[static_cast<size_t>(b)]) out[ulp_bucket_name(b)] = c.ulps[static_cast<size_t>(b)];
  return out;
}

CheckResult from_bits(const Comparison& c) {
  CheckResult r = make(c.outcome.verdict, c.outcome.reason, c.detail);
  r.measured["elements"] = c.elements;
  r.measured["outside"] = c.outside;
  if (c.outside) r.measured["ulp_histogram"] = histogram(c);
  return r;
}

}  // namespace

CheckResult make(results::Verdict verdict, std::string reason, std::string detail) {
  CheckResult r;
  r.outcome.verdict = verdict;
  r.outcome.reason = std::move(reason);
  r.detail = std::move(detail);
  return r;
}

void join(CheckResult& into, CheckResult&& next) {
  const auto worse = [](Verdict v) { return v == Verdict::kPass ? 0 : (v == Verdict::kSkip ? 1 : 2); };
  into.detail += next.detail;
  if (worse(next.outcome.verdict) > worse(into.outcome.verdict)) into.outcome = std::move(next.outcome);
}

CheckResult compare_all(const std::vector<Output>& got, const std::vector<Tensor>& want) {
  if (got.size() != want.size() || got.empty())
    throw_invalid(fmt::format("verify: {} outputs, {} answers", got.size(), want.size()));
  CheckResult all = from_bits(compare_bits(got[0].got, want[0], got[0].around));
  for (size_t i = 1; i < got.size(); ++i) join(all, from_bits(compare_bits(got[i].got, want[i], got[i].around)));
  return all;
}

CheckResult compare_launches(const std::vector<Output>& first, const std::vector<Output>& second,
                             const std::string& what) {
  std::vector<Tensor> want;
  for (const Output& o : first) want.push_back(o.got);
  // Poison may differ between the launches where nothing is written; each launch answers for that in E1 and B.
  std::vector<Output> judged = second;
  for (Output& o : judged)
    for (int64_t i = 0; i < o.got.count(); ++i)
      if (!o.around.written.empty() && !o.around.written[static_cast<size_t>(i)]) {
        const auto size = static_cast<size_t>(o.got.element_bytes());
        std::memcpy(o.around.before.bytes.data() + static_cast<size_t>(i) * size,
                    o.got.bytes.data() + static_cast<size_t>(i) * size, size);
      }
  CheckResult r = compare_all(judged, want);
  // Constant data is judged by the exact tiers; here the launches are compared with one another.
  if (r.outcome.verdict == Verdict::kMistrusted) r.outcome = {Verdict::kPass, {}};
  if (r.outcome.verdict != Verdict::kPass) {
    r.outcome.reason = what + ": " + r.outcome.reason;
    r.detail = "  " + what + " (want: the launch as configured)\n" + r.detail;
  }
  return r;
}

results::Json launches_of(const hip::LaunchLog& log) {
  results::Json out = results::Json::array();
  for (const hip::LaunchLog::Row& row : log.rows())
    out.push_back({{"kernel", row.kernel},
                   {"grid", {row.grid[0], row.grid[1], row.grid[2]}},
                   {"block", {row.block[0], row.block[1], row.block[2]}},
                   {"rows", row.rows},
                   {"count", row.count}});
  return out;
}

std::string digest(const std::vector<Output>& outputs) {
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  const auto mix = [&](uint32_t v) {
    for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ (v >> shift & 0xff)) * 0x100000001b3ull;
  };
  for (const Output& o : outputs) {
    const bool all = o.around.written.empty(), floats = is_float(o.got.dtype);
    const size_t size = static_cast<size_t>(o.got.element_bytes());
    for (int64_t i = 0; i < o.got.count(); ++i) {
      if (!all && !o.around.written[static_cast<size_t>(i)]) continue;
      if (floats) {
        const uint32_t bits = o.got.bits(i);
        mix(is_nan(o.got.dtype, bits) ? 0x7fc00000u : is_zero(o.got.dtype, bits) ? 0 : bits);
      } else {
        for (size_t k = 0; k < size; ++k) mix(o.got.bytes[static_cast<size_t>(i) * size + k]);
      }
    }
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace greta::verify
