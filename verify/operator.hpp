// What verification knows of an operator: its ladder, its cases, how inputs are drawn, launched, and what must come
// out. One file an operator (verify/rms_norm.cpp, ...); verify/tiers.cpp applies the tiers to any of them. A problem is
// its line ("n_rows=4 width=256 eps=1e-05 y=f16") here, so that a case from a table, from --repeat or from a test is
// one thing.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/hip/ladder.hpp"
#include "reference/rounding.hpp"
#include "verify/compare.hpp"
#include "verify/tensor.hpp"

namespace greta::verify {

struct RungInfo {
  std::string name;
  std::string arithmetic;
  std::string change;
};

/// A row of an operator's case table.
struct Case {
  std::string name;         ///< "gqa_llama3_8b"
  std::string variant;      ///< fields that tell the cases of one row apart: "dtype=f16"; may be empty
  std::string problem;      ///< line
  std::string why;          ///< why the row exists
  bool full = false;        ///< only in the full tier
  bool invariance = false;  ///< also run for tier I
};

enum class Inputs {
  kInteger,  ///< numbers for which the answer is exact in any order: tier E0
  kRandom,   ///< what real activations and weights look like
};

/// Inputs of one launch.
struct Data {
  std::vector<Tensor> tensors;
  std::vector<Tensor> exact;  ///< kInteger: the answer of each output
  std::string no_exact;       ///< kInteger: why this problem has none (then `exact` is empty)

  const Tensor& operator[](std::string_view name) const;
  Tensor& operator[](std::string_view name);
};

struct RunOptions {
  ExpMode exp = ExpMode::kPortable;
};

/// An output after a launch.
struct Output {
  Tensor got;
  Surroundings around;
};

/// A second computation that must give the same bits for part of the output: a row alone, other chunks, decode.
struct Relation {
  struct Piece {
    size_t output;
    int64_t here, there, count;  ///< elements [here, here + count) of the first launch, [there, ...) of the second
  };
  struct Step {
    const class Operator* other = nullptr;  ///< null: the operator itself; else its rung of the same arithmetic
    std::string problem;
    Data data;
    std::vector<Piece> pieces;
  };
  std::string name;  ///< "row_alone"
  std::vector<Step> steps;
};

class Operator {
 public:
  virtual ~Operator() = default;
  virtual std::string name() const = 0;
  virtual std::vector<RungInfo> rungs() const = 0;
  /// Every row, variants expanded.
  virtual std::vector<Case> cases() const = 0;
  /// The line parsed, validated and written again; throws kInvalidArgument.
  virtual std::string normalise(const std::string& problem) const = 0;
  /// Empty when the rung accepts the problem, else its reason.
  virtual std::string refuses(const std::string& rung, const std::string& problem) const = 0;

  virtual Data draw(const std::string& problem, Inputs kind, uint64_t seed) const = 0;
  /// For tier N: makes one element of every floating-point input NaN. False when there is none.
  virtual bool plant_nans(const std::string& problem, const std::string& arithmetic, Data& data,
                          uint64_t seed) const = 0;
  /// Poisons the outputs, launches, waits. Throws what the launch throws.
  virtual std::vector<Output> run(const std::string& rung, const std::string& problem, const Data& data,
                                  const RunOptions& options) const = 0;
  /// The bits of the arithmetic id with the portable exp2, one tensor an output.
  virtual std::vector<Tensor> twin(const std::string& problem, const std::string& arithmetic,
                                   const Data& data) const = 0;
  virtual std::vector<reference::Bounded> oracle(const std::string& problem, const std::string& arithmetic, ExpMode exp,
                                                 const Data& data) const = 0;

  /// False when the answer is exact whatever the data (copies, comparisons).
  virtual bool rounds(const std::string& problem) const = 0;
  /// Empty when tier S is defined, else why it is not.
  virtual std::string no_statistics(const std::string& problem) const = 0;
  /// Names of the relations that apply to the problem.
  virtual std::vector<std::string> relation_names(const std::string& problem) const = 0;
  virtual Relation relation(const std::string& name, const std::string& problem, const std::string& arithmetic,
                            const Data& data, uint64_t seed) const = 0;

  /// The rung of that name; throws kInvalidArgument listing the names there are.
  RungInfo rung(const std::string& name) const;
  /// A rung of that arithmetic which accepts the problem; throws kInvalidArgument when there is none.
  RungInfo rung_for(const std::string& arithmetic, const std::string& problem) const;
};

/// Every operator there is, in the order of a forward pass.
std::span<const Operator* const> operators();
/// Throws kInvalidArgument listing the names there are.
const Operator& find_operator(std::string_view name);

}  // namespace greta::verify
