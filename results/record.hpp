// The one schema of everything Greta measures: what a case was, where it ran, what came out. One record is one JSON
// line (results/store.hpp writes and reads them); all tables that people see are made from these.
//
// A line has the fixed keys listed at fixed_keys() and, beside them, the measured values under names of the writer's
// choice, so that `jq .max_abs_diff` and the like need no path. Numbers that JSON cannot hold are the strings "NaN",
// "Infinity" and "-Infinity", never null: a NaN that vanished on the way to the table would look like a missing value.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Compiled once, in json_instance.cpp: every file that writes a record would compile its members again.
extern template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace greta::results {

inline constexpr int kSchemaVersion = 1;

/// Keeps the order in which keys were written, so that lines read well.
using Json = nlohmann::ordered_json;

/// What a case came to. Only kPass, and kSkip with a reason, are green.
enum class Verdict {
  kPass,
  kFail,           ///< wrong
  kSkip,           ///< not applicable here; the reason says why
  kVacuous,        ///< could not have failed: a knob changed nothing that it must change
  kMistrusted,     ///< the data is too weak to decide (all zeros, too few rows, too good to be true)
  kIncomplete,     ///< planned or started, and not finished
  kContradiction,  ///< two observations that cannot both be true: at least one of the instruments is broken
};

/// "PASS", "FAIL", "SKIP", "VACUOUS", "MISTRUSTED", "INCOMPLETE", "CONTRADICTION".
std::string_view verdict_name(Verdict verdict);
/// Throws kInvalidArgument listing the names there are.
Verdict verdict_from_name(std::string_view name);

struct Outcome {
  Verdict verdict = Verdict::kIncomplete;
  std::string reason;  ///< obligatory for everything but kPass
};

/// Counts of a run. A kSkip without a reason counts as failed: nobody may skip in silence.
struct Tally {
  int64_t passed = 0, failed = 0, skipped = 0, vacuous = 0, mistrusted = 0, incomplete = 0, contradictory = 0;
  int64_t total() const { return passed + skipped + incomplete + red(); }
  int64_t red() const { return failed + vacuous + mistrusted + contradictory; }
};
Tally tally(std::span<const Outcome> outcomes);

/// 0 all green; 1 something red (FAIL, VACUOUS, MISTRUSTED, CONTRADICTION); 5 nothing red but something INCOMPLETE, or
/// nothing at all ran: an empty run has shown nothing.
int exit_code(const Tally& tally);
int exit_code(std::span<const Outcome> outcomes);

/// "12 passed, 1 failed, 3 skipped"; vacuous, mistrusted and contradictory cases are failures and are named after the
/// counts, as are incomplete ones: "2 passed, 3 failed, 0 skipped (1 vacuous, 1 mistrusted), 1 incomplete".
std::string summary_line(const Tally& tally);

/// Where a run took place. Every record carries it, so that a row out of context still says what it is.
struct Environment {
  std::string platform;                     ///< "host", "rocm", "cuda"
  std::string device;                       ///< as the driver names it
  std::string toolchain;                    ///< results::toolchain()
  std::string commit;                       ///< results::build_info().commit
  std::string matrix_model = "unverified";  ///< "verified", "unverified" or "refuted" on this device
};
/// Platform, toolchain and commit of this program; the device is for the caller to say.
Environment build_environment(std::string device);

/// One case. Strings that do not apply stay empty.
struct Record {
  std::string kind;                ///< "verify", "bench", "gate", "test", ...
  std::string kernel;              ///< operator ("prefill_attention"), or "model"
  std::string rung;                ///< "v2"
  std::string arithmetic;          ///< id of the rung's arithmetic: equal ids, equal bits
  std::string case_name;           ///< row of the case table
  std::string problem;             ///< the problem's one line
  uint64_t seed = 0;               ///< of the inputs
  std::string repeat;              ///< command that repeats exactly this case
  std::string tier;                ///< "E0", "E1", "B", "S", "I", "M"
  Json measured = Json::object();  ///< values by name; written beside the fixed keys
  Json config = Json::object();    ///< effective configuration as the engine saw it
  Outcome outcome;
};

/// Keys of a line that measured values may not take.
std::span<const std::string_view> fixed_keys();

/// The object of a start line ("event": "start", no measured values, no verdict) or an end line ("event": "end").
/// Throws kInvalidArgument when a measured value has the name of a fixed key, when `measured` or `config` is not an
/// object, or when an end line has a verdict other than kPass without a reason.
Json start_line(const Record& record, const Environment& environment);
Json end_line(const Record& record, const Environment& environment);
/// Back from either line; measured values are all keys that are not fixed. Throws kInvalidArgument naming the key that
/// is missing or of the wrong type, or the schema version that is not ours.
Record record_from_line(const Json& line);

/// One line of text without the newline. Bytes that are not UTF-8 are replaced; numbers as said above.
std::string to_line(const Json& object);
/// A copy in which NaN and infinities are strings, at any depth.
Json with_finite_numbers(const Json& value);
/// The number that to_line() wrote: a JSON number or one of the three strings. Throws kInvalidArgument otherwise.
double number_from(const Json& value);

}  // namespace greta::results
