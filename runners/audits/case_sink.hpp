// How an audit hands over its cases: to the records of the verb (AuditRecords::run), or to a test.
#pragma once

#include <functional>
#include <string>

#include "results/record.hpp"

namespace greta::runners {

/// Called once a case, in order: `measure` fills in what was measured and the verdict.
using CaseSink = std::function<void(const std::string& name, const std::function<void(results::Record&)>& measure)>;

}  // namespace greta::runners
