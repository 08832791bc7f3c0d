// How an audit hands over its cases: to the records of the verb (AuditRecords::run), or to a test.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "results/record.hpp"

namespace greta::runners {

/// Called once a case, in order: `measure` fills in what was measured and the verdict.
using CaseSink = std::function<void(const std::string& name, const std::function<void(results::Record&)>& measure)>;

/// What a judge of measured figures says: the verdict, and by name what is wrong, empty when nothing is.
struct Judgement {
  results::Outcome outcome;
  std::string named;
};
inline void take(results::Record& record, Judgement judged) {
  record.outcome = std::move(judged.outcome);
  if (!judged.named.empty()) record.measured["named"] = judged.named;
}

}  // namespace greta::runners
