#include "verify/plan.hpp"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <regex>

#include "kernels/hip/error.hpp"
#include "kernels/hip/problem.hpp"
#include "verify/tiers.hpp"

namespace greta::verify {
namespace {

constexpr uint64_t kFullSeeds = 3;  ///< draws of inputs a case gets in the full tier

using Fields = std::vector<std::pair<std::string, std::string>>;

const Operator& operator_named(std::span<const Operator* const> operators, const std::string& name) {
  std::string known;
  for (const Operator* op : operators) {
    if (op->name() == name) return *op;
    known += (known.empty() ? "" : ", ") + op->name();
  }
  throw_invalid(fmt::format("no operator '{}'; operators: {}", name, known));
}

void check_tiers(const std::string& wanted) {
  static const std::regex known("(C|E0|E1|N|B|S|X|I|I:[a-z_]+)(,(C|E0|E1|N|B|S|X|I|I:[a-z_]+))*");
  if (!std::regex_match(wanted, known))
    throw_invalid(
        fmt::format("--tier '{}': wanted quick, full, or tiers among C, E0, E1, N, B, S, I, I:NAME, X", wanted));
}

uint64_t parse_seed(const std::string& text) {
  uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc{} || end != text.data() + text.size())
    throw_invalid(fmt::format("seed '{}': wanted a whole number from 0 to 2^64-1", text));
  return seed;
}

/// `line` with the fields set.
std::string overridden(const std::string& line, const Fields& fields) {
  Fields all = problem_detail::split_line(line);
  for (const auto& [key, value] : fields) {
    const auto at = std::find_if(all.begin(), all.end(), [&](const auto& f) { return f.first == key; });
    if (at != all.end())
      at->second = value;
    else
      all.emplace_back(key, value);  // a wrong name is refused with the names there are when the line is read
  }
  std::string out;
  for (const auto& [key, value] : all) out += fmt::format("{}{}={}", out.empty() ? "" : " ", key, value);
  return out;
}

Case case_for(const Operator& op, const std::string& name, const Fields& fields) {
  if (name.empty()) return {"", "", op.normalise(overridden("", fields)), "given on the command line", false, true};
  std::string known;
  std::optional<Case> found;
  for (const Case& c : op.cases()) {
    if (known.find(c.name + ",") == std::string::npos) known += c.name + ", ";
    if (c.name != name) continue;
    // The variant that the fields name; the first one when they name none.
    const std::string problem = op.normalise(overridden(c.problem, fields));
    if (!found || problem == c.problem) found = c, found->problem = problem;
  }
  if (!found) throw_invalid(fmt::format("{}: no case '{}'; cases: {}", op.name(), name, known));
  found->variant.clear();
  for (const auto& [key, value] : fields)
    found->variant += fmt::format("{}{}={}", found->variant.empty() ? "" : " ", key, value);
  return *found;
}

/// A rung for one weights type has nothing to say about a case of another that a rung of its own takes. A case that no
/// rung takes stays, to be skipped with the reason.
bool covered_elsewhere(const Operator& op, const RungInfo& rung, const std::string& problem) {
  if (op.refuses(rung.name, problem).empty()) return false;
  for (const RungInfo& other : op.rungs())
    if (op.refuses(other.name, problem).empty()) return true;
  return false;
}

}  // namespace

std::string title(const PlannedCase& planned, const std::string& tier) {
  const std::string what = planned.row.name.empty() ? planned.row.problem : planned.row.variant;
  std::string out = fmt::format("{}/{}", planned.op->name(), planned.rung.name);
  if (!planned.row.name.empty()) out += " " + planned.row.name;
  if (!tier.empty()) out += " tier=" + tier;
  if (!what.empty()) out += " " + what;
  return out + fmt::format(" seed={}", planned.seed);
}

std::vector<PlannedCase> plan(std::span<const Operator* const> operators, const PlanOptions& options) {
  const bool full = options.tier == "full";
  const std::string tiers = full || options.tier == "quick" ? "" : options.tier;
  if (!tiers.empty()) check_tiers(tiers);
  std::map<std::string, std::string> rungs;
  for (const auto& [op, rung] : options.rungs) rungs[op] = operator_named(operators, op).rung(rung).name;
  std::regex filter;
  try {
    filter = std::regex(options.filter);
  } catch (const std::regex_error& error) {
    throw_invalid(fmt::format("--filter '{}': {}", options.filter, error.what()));
  }
  std::vector<PlannedCase> out;
  for (const Operator* op : operators) {
    const std::vector<Case> cases = op->cases();
    for (const RungInfo& rung : op->rungs()) {
      if (rungs.count(op->name()) && rungs[op->name()] != rung.name) continue;
      for (const Case& row : cases) {
        if (row.full && !full) continue;
        if (covered_elsewhere(*op, rung, row.problem)) continue;
        for (uint64_t seed = options.seed; seed < options.seed + (full ? kFullSeeds : 1); ++seed) {
          PlannedCase planned{op, rung, row, {}, seed};
          const CaseRunner runner(*op, rung.name, row.problem, seed, ExpMode::kPortable);
          for (const std::string& tier : runner.tiers(row.invariance))
            if (tier_wanted(tiers, tier) && std::regex_search(title(planned, tier), filter))
              planned.tiers.push_back(tier);
          if (!planned.tiers.empty()) out.push_back(std::move(planned));
        }
      }
    }
  }
  return out;
}

PlannedCase parse_repeat(std::span<const Operator* const> operators, const std::string& words, uint64_t default_seed) {
  PlannedCase out;
  out.seed = default_seed;
  std::string case_name, tiers;
  Fields fields;
  size_t begin = 0;
  while ((begin = words.find_first_not_of(' ', begin)) != std::string::npos) {
    const size_t end = std::min(words.find(' ', begin), words.size());
    const std::string word = words.substr(begin, end - begin);
    begin = end;
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals), value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (!out.op) {
      const size_t slash = word.find('/');
      if (slash == std::string::npos || equals != std::string::npos)
        throw_invalid(fmt::format("--repeat '{}': wanted OPERATOR/RUNG first, got '{}'", words, word));
      out.op = &operator_named(operators, word.substr(0, slash));
      out.rung = out.op->rung(word.substr(slash + 1));
    } else if (equals == std::string::npos) {
      if (!case_name.empty())
        throw_invalid(fmt::format("--repeat '{}': two case names, '{}' and '{}'", words, case_name, word));
      case_name = word;
    } else if (key == "tier") {
      tiers = value;
    } else if (key == "seed") {
      out.seed = parse_seed(value);
    } else {
      fields.emplace_back(key, value);
    }
  }
  if (!out.op) throw_invalid("--repeat: wanted e.g. 'rms_norm/v1 odd_width tier=E1 y=f16 seed=1'");
  if (!tiers.empty()) check_tiers(tiers);
  out.row = case_for(*out.op, case_name, fields);
  for (const std::string& tier : CaseRunner(*out.op, out.rung.name, out.row.problem, 0, ExpMode::kPortable).tiers(true))
    if (tier_wanted(tiers, tier)) out.tiers.push_back(tier);
  if (out.tiers.empty())
    throw_invalid(fmt::format("--repeat '{}': tier {} does not apply to {}", words, tiers, out.row.problem));
  return out;
}

}  // namespace greta::verify
