// greta audit layout: is every weight on the device the weight of the file, in the orientation and at the place that
// the kernels read?
//
// Each matrix of the model answers to random activations by the engine's own matmul, for few rows (GEMV) and for many
// (GEMM); the embedding table by the gather. Sampled outputs are compared with what the file's rows give in double.
// Next to the right row stand controls that a wrong stride, offset or orientation would give: the rows before and
// after, the row one block to either side, the row with its halves exchanged, the matrix read column by column.
//   FAIL        the right row is further away than rounding; the control that fits instead is named, or the tensor of
//               the same shape
//   MISTRUSTED  a control is as near as the right row would be: these weights cannot tell one layout from another
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/weight_damage.hpp"
#include "runners/audits/case_sink.hpp"

namespace greta::runners {

struct LayoutRequest {
  const model::GgufFile* file = nullptr;
  std::vector<int> layers;   ///< empty: all
  int64_t sampled_rows = 8;  ///< of each matrix; the first and the last are among them
  uint64_t seed = 1;
  model::LoadFault fault;  ///< planted
};

/// A case for each matrix.
int64_t layout_cases(const LayoutRequest& request);
void audit_layout(const LayoutRequest& request, const CaseSink& cases);

/// Distances are rms(got - candidate) / rms(right). The right row is met to rounding in f32, at most this far away.
inline constexpr double kLayoutNear = 1e-4;
/// Controls are unrelated rows, about 1.4 away; one nearer than this does not distinguish.
inline constexpr double kLayoutFar = 0.2;

struct LayoutCandidate {
  std::string name;
  double distance = 0;
};
/// `candidates` begin with the right row.
results::Outcome judge_layout(const std::vector<LayoutCandidate>& candidates);

}  // namespace greta::runners
