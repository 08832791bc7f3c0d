// Problems: plain data that says what an operator is asked to do, printable as one line that is accepted back.
// HIP-free.
//
// A problem lists its fields once, in visit_fields(problem, visitor); lines, parsing and records follow from that:
//   "batch=1 n_tokens=64 n_kv=64 n_heads=4 n_kv_heads=2 head_dim=64 dtype=f16"
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/hip/dtype.hpp"
#include "kernels/hip/error.hpp"

namespace greta {

namespace problem_detail {

std::string format_number(double value);  ///< shortest text that reads back to the same double
double parse_number(std::string_view key, std::string_view text);
int64_t parse_integer(std::string_view key, std::string_view text);
/// "a=1 b=2" to pairs; throws on anything else.
std::vector<std::pair<std::string, std::string>> split_line(std::string_view line);

struct Writer {
  std::string line;
  void put(std::string_view key, const std::string& value) {
    if (!line.empty()) line += ' ';
    line.append(key).append("=").append(value);
  }
  void operator()(std::string_view key, const int64_t& v) { put(key, std::to_string(v)); }
  void operator()(std::string_view key, const float& v) { put(key, format_number(static_cast<double>(v))); }
  void operator()(std::string_view key, const DType& v) { put(key, std::string(dtype_name(v))); }
};

struct Reader {
  std::vector<std::pair<std::string, std::string>> pairs;
  std::string known;
  const std::string* take(std::string_view key) {
    known += known.empty() ? "" : ", ";
    known += key;
    for (auto& [k, v] : pairs)
      if (k == key) {
        taken = v;
        k.clear();
        return &taken;
      }
    return nullptr;
  }
  void operator()(std::string_view key, int64_t& v) {
    if (const auto* t = take(key)) v = parse_integer(key, *t);
  }
  void operator()(std::string_view key, float& v) {
    if (const auto* t = take(key)) v = static_cast<float>(parse_number(key, *t));
  }
  void operator()(std::string_view key, DType& v) {
    if (const auto* t = take(key)) v = dtype_from_name(*t);
  }
  std::string taken;
};

}  // namespace problem_detail

/// The problem as one line; from_line() reads it back to an equal problem.
template <class Problem>
std::string to_line(const Problem& problem) {
  problem_detail::Writer writer;
  Problem copy = problem;
  visit_fields(copy, writer);
  return writer.line;
}

/// Fields not named keep their defaults; an unknown field throws kInvalidArgument listing those there are.
template <class Problem>
Problem from_line(std::string_view line) {
  problem_detail::Reader reader{problem_detail::split_line(line), {}, {}};
  Problem problem;
  visit_fields(problem, reader);
  for (const auto& [key, value] : reader.pairs)
    if (!key.empty()) throw_invalid("unknown field '" + key + "' in problem line; known: " + reader.known);
  return problem;
}

}  // namespace greta
