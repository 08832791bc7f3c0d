// Small problems for exported cases: a template line an operator, expanded with a seed.
//
//   {q4_k,f16}     one line for each
//   3|5|64         one of them, drawn
//   17..40         a number of the range, drawn
//   32*1..4        a multiple
//   n_tokens+0..9  another field of the line, which stands before, plus a number
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/hip/runtime.hpp"

namespace greta::runners::isa {

struct Draw {
  const char* op;          ///< operator of the verify room
  const char* line;        ///< template
  const char* rungs = "";  ///< regular expression over rung names; empty: all
};
std::span<const Draw> draws();
/// Problem lines of a template. Throws kInvalidArgument for one it does not understand.
std::vector<std::string> expand(const std::string& line, uint64_t seed);

/// Launches outside the operators: what else is a kernel of the product.
struct Extra {
  const char* name;  ///< "ceilings/v1/copy"
  std::function<void(hip::Stream&, uint64_t seed)> run;
};
const std::vector<Extra>& extras();

/// Kernels that no launch on host reaches, and why.
struct NotLaunched {
  const char* object;
  const char* kernel;  ///< regular expression of the whole short name
  const char* why;
};
std::span<const NotLaunched> not_launched();

}  // namespace greta::runners::isa
