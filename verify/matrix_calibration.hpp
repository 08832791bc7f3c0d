// Does the matrix instruction of this device compute what the bit model says (kernels/hip/matrix_model.hpp)? Exact
// tiers of rungs that use it stand on the answer, so every record carries it: matrix_model verified | unverified |
// refuted.
//
// Tiles of drawn numbers go through one instruction each and through the model, element by element: equal bits, +0 and
// -0 being alike. Elements for which the model's answer is not finite are counted and not compared. The distributions
// are those in which machines are known to differ: exponents far apart, subnormals, zeros, cancellation, one operand
// that dwarfs the others. A comparison that could not fail proves nothing: the same results are also compared with the
// model made one fraction bit short, and that must be found out on wide exponents.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/hip/matrix_model.hpp"
#include "reference/matrix_machine.hpp"
#include "results/record.hpp"

namespace greta::verify {

/// The model that predicts the device at hand: hopper on cuda, cdna3 on rocm; on host the one that its tiles are run
/// with. expect_matrix_model() puts another in its place (`greta verify --expect-matrix-model`): the way to see, on any
/// device, what a model that is wrong leads to. Before anything asked for a calibration; nullopt: the device's again.
MatrixModel matrix_model_in_use();
void expect_matrix_model(std::optional<MatrixModel> model);
std::optional<MatrixModel> expected_matrix_model();
/// That model, with the wave of the device.
reference::MatrixMachine matrix_machine();
/// Whether bits of an arithmetic id are a matrix machine's.
bool on_matrix_machine(std::string_view arithmetic);

struct CalibrationRow {
  DType dtype;               ///< kF16, kBF16 or kI8
  std::string distribution;  ///< "wide exponents"
  std::string not_judged;    ///< why a difference here refutes nothing; empty: it does
  int64_t compared = 0;      ///< outputs whose wanted value is finite
  int64_t not_finite = 0;    ///< the others
  int64_t different = 0;
  int64_t different_short = 0;  ///< from the model one bit short (0 for kI8, whose sums are exact)
  std::string first;            ///< the first difference, with its operands; empty: none
};

struct Calibration {
  enum class State { kVerified, kUnverified, kRefuted };
  MatrixModel model;
  State state = State::kUnverified;
  std::string text;  ///< "hopper: 2046592 outputs of f16, bf16 and i8 tiles, no difference"
  std::vector<CalibrationRow> rows;
};

/// "verified", "unverified", "refuted".
std::string calibration_state_name(Calibration::State state);

/// Outputs a distribution and type: what a start of the program can spare, and what is asked of a proof.
inline constexpr int64_t kCalibrationGlance = 2048, kCalibrationFull = 102400;

/// Runs tiles on the device and compares. On host a comparison without difference leaves the state kUnverified: there
/// the tiles are the model itself, and only the fragment maps were tried. Throws what launches throw.
Calibration calibrate_matrix_model(MatrixModel model, int64_t outputs, uint64_t seed);

/// Whether the rows of one type are good, for tier C: kPass, or kFail, or kVacuous when the model one bit short was not
/// found out.
results::Outcome judge_calibration(const Calibration& calibration, DType dtype);

/// The state on this device for matrix_model_in_use(): at kCalibrationGlance outputs, when first asked for that model.
const Calibration& matrix_calibration_here();

}  // namespace greta::verify
