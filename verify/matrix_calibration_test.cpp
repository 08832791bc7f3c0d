// The calibration against machines that are not the model: each must be refuted.
#include "verify/matrix_calibration.hpp"

#include <gtest/gtest.h>

#include "kernels/hip/runtime.hpp"
#include "verify/exec_knobs.hpp"
#include "verify/operator.hpp"
#include "verify/tiers.hpp"

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

TEST_F(MatrixCalibration, ARefutedModelTakesTheExactTierOfMatrixTilesAway) {
  struct Restore {
    ~Restore() { expect_matrix_model(std::nullopt); }
  } restore;
  const ScopedExecConfig scope(with(MatrixModel::kCdna3, 64));
  const auto outcome = [](const char* op, const char* rung, const char* problem) {
    return CaseRunner(find_operator(op), rung, problem, 1, ExpMode::kPortable).check("E1").outcome;
  };
  const char* const kMatmul = "m=3 n_out=5 n_in=64 weights=f16 x=f16 y=f32";
  const char* const kAttention = "n_tokens=3 n_kv=9 n_heads=1 n_kv_heads=1 head_dim=64 dtype=f16";
  EXPECT_EQ(outcome("quant_matmul", "gemm_float_v2", kMatmul).verdict, results::Verdict::kPass);
  expect_matrix_model(MatrixModel::kHopper);
  EXPECT_EQ(matrix_calibration_here().state, State::kRefuted);
  for (const auto& [op, rung, problem] :
       {std::tuple{"quant_matmul", "gemm_float_v2", kMatmul}, std::tuple{"quant_matmul", "gemv_float_v2", kMatmul},
        std::tuple{"prefill_attention", "v4", kAttention}}) {
    const results::Outcome o = outcome(op, rung, problem);
    EXPECT_EQ(o.verdict, results::Verdict::kSkip) << op;
    EXPECT_NE(o.reason.find("hopper is refuted"), std::string::npos) << o.reason;
  }
  EXPECT_EQ(outcome("quant_matmul", "gemm_float_v1", kMatmul).verdict, results::Verdict::kPass) << "no matrix tiles";
  // The seeded mistake of this rule: the skip left out. The twin of the wrong machine then blames the kernel.
  const Operator& op = find_operator("quant_matmul");
  const Data data = op.draw(op.normalise(kMatmul), Inputs::kRandom, 1);
  expect_matrix_model(std::nullopt);
  const auto own = op.twin(op.normalise(kMatmul), "mma_f32", data);
  expect_matrix_model(MatrixModel::kHopper);
  EXPECT_NE(own[0].bytes, op.twin(op.normalise(kMatmul), "mma_f32", data)[0].bytes);
}

TEST_F(MatrixCalibration, EveryRungOfAMatrixMachineIsKnownAsOne) {
  for (const Operator* op : operators())
    for (const RungInfo& rung : op->rungs())
      EXPECT_EQ(on_matrix_machine(rung.arithmetic), rung.arithmetic.find("mma") != std::string::npos)
          << op->name() << " " << rung.name;
}

TEST_F(MatrixCalibration, HereSaysWhatItMeansOnHost) {
  EXPECT_EQ(calibration_state_name(matrix_calibration_here().state), "unverified");
  EXPECT_NE(matrix_calibration_here().text.find("the model itself"), std::string::npos);
}

}  // namespace
}  // namespace greta::verify
