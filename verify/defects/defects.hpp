// Seeded defects: operators that launch the real kernel and are wrong on purpose around it, and kernels that are wrong
// themselves (those in the tests alone). Each says which tiers must turn red on it; defects_test.cpp proves it, so that
// no tier can go blind unnoticed. `greta verify --defect NAME` shows one.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "verify/operator.hpp"

namespace greta::verify {

/// What a defect gets to work with.
struct Call {
  const Operator& real;
  std::string rung;
  std::string problem;
  const Data& data;
  RunOptions options;

  std::vector<Output> launch() const { return real.run(rung, problem, data, options); }
  std::vector<Output> launch(const std::string& other_problem, const Data& other_data) const {
    return real.run(rung, other_problem, other_data, options);
  }
};

struct Defect {
  const char* name;
  const char* check;             ///< as --repeat takes it, without tier: "rope/v1 odd_tokens half_split=0 dtype=f16"
  const char* what;              ///< the mistake, in a few words
  std::vector<std::string> red;  ///< exactly the tiers that turn red
  std::function<std::vector<Output>(const Call&)> run;
};

std::vector<Defect> attention_defects();
std::vector<Defect> matmul_defects();
std::vector<Defect> elementwise_defects();
std::vector<Defect> kernel_defects();

/// All but those inside kernels, which only the tests link.
const std::vector<Defect>& defects();

/// The operator with run() replaced.
class Defective final : public Operator {
 public:
  Defective(const Operator& real, const Defect& defect) : real_(real), defect_(defect) {}

  std::string name() const override { return real_.name(); }
  std::vector<RungInfo> rungs() const override { return real_.rungs(); }
  std::vector<Case> cases() const override { return real_.cases(); }
  std::string normalise(const std::string& problem) const override { return real_.normalise(problem); }
  std::string refuses(const std::string& rung, const std::string& problem) const override {
    return real_.refuses(rung, problem);
  }
  Data draw(const std::string& problem, Inputs kind, uint64_t seed) const override {
    return real_.draw(problem, kind, seed);
  }
  bool plant_nans(const std::string& problem, const std::string& arithmetic, Data& data, uint64_t seed) const override {
    return real_.plant_nans(problem, arithmetic, data, seed);
  }
  std::vector<Output> run(const std::string& rung, const std::string& problem, const Data& data,
                          const RunOptions& options) const override {
    return defect_.run({real_, rung, problem, data, options});
  }
  std::vector<Tensor> twin(const std::string& problem, const std::string& arithmetic, const Data& data) const override {
    return real_.twin(problem, arithmetic, data);
  }
  std::vector<reference::Bounded> oracle(const std::string& problem, const std::string& arithmetic, ExpMode exp,
                                         const Data& data) const override {
    return real_.oracle(problem, arithmetic, exp, data);
  }
  bool rounds(const std::string& problem) const override { return real_.rounds(problem); }
  std::string no_statistics(const std::string& problem) const override { return real_.no_statistics(problem); }
  std::vector<std::string> relation_names(const std::string& problem) const override {
    return real_.relation_names(problem);
  }
  Relation relation(const std::string& name, const std::string& problem, const std::string& arithmetic,
                    const Data& data, uint64_t seed) const override {
    return real_.relation(name, problem, arithmetic, data, seed);
  }

 private:
  const Operator& real_;
  const Defect& defect_;
};

/// A field of a problem line, and the line with the field set.
int64_t field(const std::string& problem, const std::string& key);
std::string with_field(const std::string& problem, const std::string& key, int64_t value);
/// Moves an element by that many units in the last place.
void nudge(Tensor& tensor, int64_t i, int ulps);

}  // namespace greta::verify
