// A ladder: the variants (rungs) of one operator as a table that tests, benchmarks, the model and `greta list` iterate.
// Adding a rung is one file and one row. HIP-free.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "kernels/hip/error.hpp"

namespace greta {

/// Which exp2 a kernel uses. kPortable gives the same bits on every platform; kHardware is the device's own (not on
/// host).
enum class ExpMode { kPortable, kHardware };

template <class Problem, class Launch>
struct Rung {
  const char* name;                        ///< "v2"
  Launch launch;                           ///< the launch function
  std::string (*accepts)(const Problem&);  ///< empty when the rung can do the problem, else the reason why not
  const char* arithmetic;                  ///< rungs with one id agree in every bit; across ids only bounds apply
  const char* change;                      ///< the one change from the rung before
};

/// The rung of that name; throws kInvalidArgument listing the names there are.
template <class R>
const R& find_rung(std::string_view operator_name, std::span<const R> ladder, std::string_view name) {
  std::string known;
  for (const R& rung : ladder) {
    if (rung.name == name) return rung;
    known += (known.empty() ? "" : ", ") + std::string(rung.name);
  }
  throw_invalid(std::string(operator_name) + ": no rung '" + std::string(name) + "'; rungs: " + known);
}

}  // namespace greta
