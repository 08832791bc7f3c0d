// One run of `greta verify`: checks with their records, counts a rung, and what people see.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>

#include "kernels/hip/error.hpp"
#include "kernels/hip/planted_faults.hpp"
#include "results/store.hpp"
#include "runners/verbs.hpp"
#include "verify/matrix_calibration.hpp"
#include "verify/plan.hpp"
#include "verify/tiers.hpp"

namespace greta::runners {

/// Tier X: the fault finders find what was planted for them.
inline constexpr const char* kPlantedFaults = "planted_faults";
/// Tier C: the matrix instructions of this device are what the model says.
inline constexpr const char* kMatrixTiles = "matrix_tiles";
inline constexpr const char* kNewProcess = "new_process";
inline constexpr DType kMatrixTileTypes[] = {DType::kF16, DType::kBF16, DType::kI8};

class VerifySession {
 public:
  VerifySession(const CommonFlags& flags, results::Store& store, std::string defect);

  /// Both write records and print what is red. After an infrastructure error nothing more runs: what was planned and
  /// did not run is INCOMPLETE.
  results::Outcome check(const verify::PlannedCase& planned, const std::string& tier);
  results::Outcome check(const hip::PlantedFault& fault);
  /// Tier C: tiles of the type against the matrix model in use.
  results::Outcome check_matrix_tiles(DType dtype);
  /// I:process: a new process, started for the first of these checks with `filter`, found the same bits for every case
  /// of the suite whose launch this process repeated (I:repeat).
  results::Outcome check_new_process(const std::string& suite, const std::string& filter);

  /// One line: counts by tier, worst ratio, time.
  void print_suite(const std::string& suite);
  void print_skips() const;
  const std::optional<Error>& stopped() const { return stopped_; }

 private:
  struct Column {
    int64_t run = 0, skipped = 0;
  };
  struct Suite {
    std::map<std::string, Column> tiers;
    std::vector<results::Outcome> outcomes;
    std::map<std::string, int64_t> skip_reasons;
    double worst_ratio = 0, seconds = 0;
    std::string arithmetic;
  };

  results::Outcome execute(results::Record record, const std::string& title,
                           const std::function<verify::CheckResult()>& body);
  std::string command(const std::string& words) const;

  const CommonFlags& flags_;
  results::Store& store_;
  std::string defect_;
  ExpMode exp_;
  std::optional<verify::CaseRunner> runner_;
  const verify::PlannedCase* runner_of_ = nullptr;
  std::map<std::string, Suite> suites_;
  std::map<std::string, int64_t> skips_;
  std::optional<Error> stopped_;
  /// By repeat words: digest of the outputs, and of those of other inputs.
  using Digests = std::map<std::string, std::pair<std::string, std::string>>;
  Digests run_new_process(const std::string& filter) const;

  std::optional<verify::Calibration> calibration_;
  std::map<std::string, Digests> digests_;  ///< of this process, by suite
  std::optional<Digests> elsewhere_;        ///< of the new process
};

/// "rms_norm/v1", or kPlantedFaults.
std::string suite_of(const results::Record& record);

}  // namespace greta::runners
