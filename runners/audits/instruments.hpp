// greta audit instruments: can the comparators and the gate fail?
//
// A comparator of logits is given pairs that differ in ways that comparators are known to miss (a NaN on both sides,
// the last id of the last position, values in another order whose sum is the same, a missing row, ...) and must report
// each. The equivalence gate is given requests whose verdict is known (sound; a side against itself; a defect on one
// side, on both; a flag that is ignored) and must give it. --plant puts a broken instrument in their place, which must
// be red.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "runners/audits/case_sink.hpp"
#include "runners/gates/equivalence.hpp"

namespace greta::runners {

using Comparator = std::function<LogitsDiff(std::span<const float> a, std::span<const float> b, int64_t vocab,
                                            int64_t first_position)>;
using EquivalenceGate = std::function<GateResult(const GateRequest&)>;

int64_t comparator_cases();
/// A case for each way to differ, and one for not differing.
void check_comparator(const Comparator& compare, const CaseSink& cases);

int64_t gate_check_cases();
/// A case for each request of known verdict, on `ids` of the model.
void check_gate(const EquivalenceGate& gate, const model::GgufFile& file, std::span<const int32_t> ids,
                const CaseSink& cases);

/// Instruments that are wrong the way instruments have been.
struct BrokenInstrument {
  std::string_view name, what;
  Comparator compare;  ///< one of the two is set
  EquivalenceGate gate;
};
std::span<const BrokenInstrument> broken_instruments();
/// Throws kInvalidArgument listing the names.
const BrokenInstrument& broken_instrument_from_name(std::string_view name);

}  // namespace greta::runners
