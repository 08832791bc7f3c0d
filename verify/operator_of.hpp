// Base of the operators of this room: turns problem lines into problems and ladder rows into rungs, so that an operator
// file holds its table, its inputs, its launch and its answers, and nothing else.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/hip/error.hpp"
#include "kernels/hip/problem.hpp"
#include "reference/random.hpp"
#include "verify/operator.hpp"

namespace greta::verify {

/// Table row of an operator with problems of type P.
template <class P>
struct CaseRow {
  const char* name;
  P problem;
  const char* why;
  bool full = false;
  bool invariance = false;
};

inline constexpr bool kQuick = false, kFull = true;      // for CaseRow::full
inline constexpr bool kOnce = false, kInvariant = true;  // for CaseRow::invariance

template <class P>
Case make_case(const CaseRow<P>& row, const P& problem, std::string variant) {
  return {row.name, std::move(variant), to_line(problem), row.why, row.full, row.invariance};
}

template <class P, class R>
class OperatorOf : public Operator {
 public:
  std::vector<RungInfo> rungs() const override {
    std::vector<RungInfo> out;
    for (const R& r : ladder()) out.push_back({r.name, r.arithmetic, r.change});
    return out;
  }
  std::string normalise(const std::string& line) const override { return to_line(parse(line)); }
  std::string refuses(const std::string& rung, const std::string& line) const override {
    return find_rung<R>(name(), ladder(), rung).accepts(parse(line));
  }
  Data draw(const std::string& line, Inputs kind, uint64_t seed) const override {
    return kind == Inputs::kInteger ? integers(parse(line), seed) : random(parse(line), seed);
  }
  bool plant_nans(const std::string& line, const std::string& arithmetic, Data& data, uint64_t seed) const override {
    reference::Random random(seed);
    plant_nan(parse(line), arithmetic, data, random);
    return std::any_of(data.tensors.begin(), data.tensors.end(), takes_nan);
  }
  std::vector<Output> run(const std::string& rung, const std::string& line, const Data& data,
                          const RunOptions& options) const override {
    return launch(find_rung<R>(name(), ladder(), rung), parse(line), data, options);
  }
  std::vector<Tensor> twin(const std::string& line, const std::string& arithmetic, const Data& data) const override {
    return twin_of(parse(line), arithmetic, data);
  }
  std::vector<reference::Bounded> oracle(const std::string& line, const std::string& arithmetic, ExpMode exp,
                                         const Data& data) const override {
    return oracle_of(parse(line), arithmetic, exp, data);
  }
  bool rounds(const std::string& line) const override { return rounds_in(parse(line)); }
  std::string no_statistics(const std::string& line) const override { return no_statistics_in(parse(line)); }
  std::vector<std::string> relation_names(const std::string& line) const override { return relations_of(parse(line)); }
  Relation relation(const std::string& which, const std::string& line, const std::string& arithmetic, const Data& data,
                    uint64_t seed) const override {
    return relate(which, parse(line), arithmetic, data, seed);
  }

 protected:
  static P parse(const std::string& line) {
    const P problem = from_line<P>(line);
    validate(problem);
    return problem;
  }

  static bool takes_nan(const Tensor& tensor) { return is_float(tensor.dtype) && tensor.name != "scale"; }
  /// One element of every floating-point input, at random.
  virtual void plant_nan(const P&, const std::string&, Data& data, reference::Random& random) const {
    for (Tensor& tensor : data.tensors)
      if (takes_nan(tensor))
        tensor.set(static_cast<int64_t>(random.below(static_cast<uint64_t>(tensor.count()))), std::nanf(""));
  }

  virtual std::span<const R> ladder() const = 0;
  virtual Data integers(const P& p, uint64_t seed) const = 0;
  virtual Data random(const P& p, uint64_t seed) const = 0;
  virtual std::vector<Output> launch(const R& rung, const P& p, const Data& data, const RunOptions& options) const = 0;
  virtual std::vector<Tensor> twin_of(const P& p, const std::string& arithmetic, const Data& data) const = 0;
  virtual std::vector<reference::Bounded> oracle_of(const P& p, const std::string& arithmetic, ExpMode exp,
                                                    const Data& data) const = 0;
  virtual bool rounds_in(const P&) const { return true; }
  virtual std::string no_statistics_in(const P&) const { return {}; }
  virtual std::vector<std::string> relations_of(const P&) const { return {}; }
  virtual Relation relate(const std::string& which, const P& p, const std::string&, const Data&, uint64_t) const {
    throw_invalid(fmt::format("{}: no relation '{}' for {}", name(), which, to_line(p)));
  }
};

}  // namespace greta::verify
