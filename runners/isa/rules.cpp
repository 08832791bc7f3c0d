#include "runners/isa/rules.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <regex>

#include "kernels/hip/error.hpp"

namespace greta::runners::isa {
namespace {

constexpr bool kAtMost = true, kAtLeast = false, kMustBeThere = false, kMayBeAbsent = true;

/// Of loops of matrix instructions, which differ in what vector and LDS work they may do beside them.
constexpr std::array<Threshold, 8> matrix_table(double valu_fail, double valu_goal, double lds_fail, double lds_goal) {
  return {{
      {"waves_per_simd", kAtLeast, 2, 2, kMustBeThere},
      {"accvgpr", kAtMost, 0, 0, kMustBeThere},
      {"valu_per_mfma", kAtMost, valu_fail, valu_goal, kMustBeThere},
      {"lds_per_mfma", kAtMost, lds_fail, lds_goal, kMustBeThere},
      {"flop_per_lds_byte", kAtLeast, 20, 64, kMayBeAbsent},
      {"load_to_wait", kAtLeast, 64, 200, kMustBeThere},
      {"passes_per_barrier", kAtLeast, 128, 512, kMayBeAbsent},
      {"waves_x_xdl", kAtLeast, 0.9, 1.05, kMustBeThere},
  }};
}
constexpr auto kMatrixTable = matrix_table(0.85, 0.75, 0.85, 0.30);
constexpr auto kMatrix64Table = matrix_table(1.5, 1.1, 0.85, 0.30);  // the softmax weighs twice at head_dim 64
constexpr auto kIntegerTable = matrix_table(2, 1.3, 1, 0.5);
constexpr Threshold kBandwidthTable[] = {
    {"waves_per_simd", kAtLeast, 4, 8, kMustBeThere}, {"flight_bytes", kAtLeast, 16384, 32768, kMustBeThere},
    {"valu_share", kAtMost, 60, 40, kMustBeThere},    {"wide_share", kAtLeast, 90, 100, kMustBeThere},
    {"narrow_loads", kAtMost, 0, 0, kMustBeThere},    {"divergent_branches", kAtMost, 1, 0, kMustBeThere},
};

/// Figures that count pieces: one more is worse, however many there were.
bool counts_pieces(const std::string& figure) {
  for (const char* name : {"vgpr_spills", "sgpr_spills", "scratch_bytes", "dynamic_stack", "accvgpr", "narrow_loads",
                           "divergent_branches", "divisions"})
    if (figure == name) return true;
  return false;
}

const Waiver* waiver_for(const Row& row, const char* figure) {
  for (const Waiver& w : row.waivers)
    if (std::string_view(w.figure) == figure) return &w;
  return nullptr;
}

}  // namespace

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kMatrix:
      return "M";
    case Kind::kMatrix64:
      return "M64";
    case Kind::kInteger:
      return "Q";
    case Kind::kBandwidth:
      return "B";
    default:
      return "-";
  }
}

std::span<const Threshold> thresholds(Kind kind) {
  switch (kind) {
    case Kind::kMatrix:
      return kMatrixTable;
    case Kind::kMatrix64:
      return kMatrix64Table;
    case Kind::kInteger:
      return kIntegerTable;
    case Kind::kBandwidth:
      return kBandwidthTable;
    default:
      return {};
  }
}

const Row* find_row(std::span<const Row> rows, const std::string& object, const std::string& kernel) {
  for (const Row& row : rows)
    if (object == row.object && std::regex_match(kernel, std::regex(row.kernel))) return &row;
  return nullptr;
}

std::vector<std::string> drift(const Figures& now, const Figures& baseline) {
  std::vector<std::string> red;
  for (const FigureInfo& info : figure_table()) {
    const auto before = baseline.find(info.name);
    if (before == baseline.end()) continue;
    const auto after = now.find(info.name);
    if (after == now.end()) {
      if (info.worse != Worse::kNeither)
        red.push_back(fmt::format("drift: {} was {:.4g} and is gone", info.name, before->second));
      continue;
    }
    if (info.worse == Worse::kNeither) continue;
    const double change = after->second - before->second;
    const double worse = info.worse == Worse::kHigher ? change : -change;
    const double allowed = counts_pieces(info.name) ? 0 : 0.05 * std::abs(before->second) + 1e-9;
    if (!(worse <= allowed))  // NaN is worse
      red.push_back(fmt::format("drift: {} {:.4g} -> {:.4g}", info.name, before->second, after->second));
  }
  return red;
}

Judgement judge(const Row& row, const Report& report, const Figures* baseline) {
  Judgement j;
  for (const std::string& what : report.forbidden) j.red.push_back("hard rule: " + what);
  std::vector<Threshold> all = {{"divisions", kAtMost, 0, 0, kMustBeThere}};
  all.insert(all.end(), thresholds(row.kind).begin(), thresholds(row.kind).end());
  for (const Threshold& t : all) {
    const auto found = report.figures.find(t.figure);
    const Waiver* const waiver = waiver_for(row, t.figure);
    const std::string rule = &t == &all.front() ? "hard rule: divisions in the hot loop"
                                                : fmt::format("class {}: {}", kind_name(row.kind), t.figure);
    if (found == report.figures.end()) {
      if (t.absent_is_good) continue;
      const std::string why =
          fmt::format("{} is missing{}{}", rule, report.mca_note.empty() ? "" : ": ", report.mca_note);
      (waiver ? j.waived : j.red).push_back(waiver ? fmt::format("{}: {}", why, waiver->why) : why);
      continue;
    }
    const double value = found->second;
    const auto holds = [&](double limit) { return t.at_most ? value <= limit : value >= limit; };
    const char* const bound = t.at_most ? "at most" : "at least";
    if (holds(t.fail)) {
      if (!holds(t.goal)) j.goals.push_back(fmt::format("{} {:.3g}, goal {} {:.3g}", rule, value, bound, t.goal));
    } else if (waiver && holds(waiver->limit)) {
      j.waived.push_back(fmt::format("{} {:.3g}, {} {:.3g} wanted: {}", rule, value, bound, t.fail, waiver->why));
    } else {
      j.red.push_back(fmt::format("{} {:.3g}, {} {:.3g}", rule, value, bound, waiver ? waiver->limit : t.fail));
    }
  }
  if (baseline)
    for (std::string& what : drift(report.figures, *baseline)) j.red.push_back(std::move(what));
  return j;
}

}  // namespace greta::runners::isa
