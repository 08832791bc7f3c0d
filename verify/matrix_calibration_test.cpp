// The calibration against machines that are not the model: each must be refuted.
#include "verify/matrix_calibration.hpp"

#include <gtest/gtest.h>

#include "kernels/hip/runtime.hpp"
#include "verify/exec_knobs.hpp"

namespace greta::verify {
namespace {

using State = Calibration::State;

class MatrixCalibration : public testing::Test {
 protected:
  void SetUp() override {
    if (hip::platform_name() != "host") GTEST_SKIP() << "chooses the machine, which only the host platform can";
  }
  static hip::ExecConfig with(MatrixModel model, int wave) {
    hip::ExecConfig config = hip::exec_config();
    config.matrix_model = model, config.wave = wave;
    return config;
  }
};

TEST_F(MatrixCalibration, EveryModelAgreesWithItself) {
  for (const MatrixModel model : {MatrixModel::kCdna3, MatrixModel::kHopper, MatrixModel::kFmaf})
    for (const int wave : {64, 32}) {
      const ScopedExecConfig scope(with(model, wave));
      const Calibration c = calibrate_matrix_model(model, 2048, 7);
      EXPECT_EQ(c.state, State::kUnverified) << c.text;
      EXPECT_NE(c.text.find("the model itself"), std::string::npos) << c.text;
      for (const CalibrationRow& row : c.rows) {
        EXPECT_EQ(row.different, 0) << row.distribution << ": " << row.first;
        EXPECT_GE(row.compared + row.not_finite, 2048);
        EXPECT_GT(row.compared, 200) << row.distribution;
      }
      for (const DType dtype : {DType::kF16, DType::kBF16, DType::kI8})
        EXPECT_EQ(judge_calibration(c, dtype).verdict, results::Verdict::kPass) << judge_calibration(c, dtype).reason;
    }
}

TEST_F(MatrixCalibration, AnotherMachineIsRefuted) {
  for (const MatrixModel machine : {MatrixModel::kCdna3, MatrixModel::kHopper, MatrixModel::kFmaf})
    for (const MatrixModel model : {MatrixModel::kCdna3, MatrixModel::kHopper}) {
      if (machine == model) continue;
      const ScopedExecConfig scope(with(machine, 64));
      const Calibration c = calibrate_matrix_model(model, kCalibrationGlance, 1);
      EXPECT_EQ(c.state, State::kRefuted) << matrix_model_name(machine) << " as " << matrix_model_name(model);
      for (const DType dtype : {DType::kF16, DType::kBF16})
        EXPECT_EQ(judge_calibration(c, dtype).verdict, results::Verdict::kFail);
      EXPECT_EQ(judge_calibration(c, DType::kI8).verdict, results::Verdict::kPass) << "integers are exact everywhere";
      EXPECT_NE(c.text.find(" + "), std::string::npos) << "shows the operands: " << c.text;
    }
}

TEST_F(MatrixCalibration, OneFractionBitLessIsFoundOutByTheControl) {
  for (const MatrixModel model : {MatrixModel::kCdna3, MatrixModel::kHopper}) {
    const ScopedExecConfig scope(with(model, 64));
    Calibration c = calibrate_matrix_model(model, kCalibrationGlance, 1);
    for (const DType dtype : {DType::kF16, DType::kBF16}) {
      int64_t found_out = 0;
      for (const CalibrationRow& row : c.rows)
        if (row.dtype == dtype) found_out += row.different_short;
      EXPECT_GT(found_out, 100) << matrix_model_name(model) << " " << dtype_name(dtype);
    }
    for (CalibrationRow& row : c.rows) row.different_short = 0;
    EXPECT_EQ(judge_calibration(c, DType::kF16).verdict, results::Verdict::kVacuous);
    c.rows.clear();
    EXPECT_EQ(judge_calibration(c, DType::kI8).verdict, results::Verdict::kVacuous) << "nothing compared";
  }
}

TEST_F(MatrixCalibration, HereSaysWhatItMeansOnHost) {
  EXPECT_EQ(calibration_state_name(matrix_calibration_here().state), "unverified");
  EXPECT_NE(matrix_calibration_here().text.find("the model itself"), std::string::npos);
}

}  // namespace
}  // namespace greta::verify
