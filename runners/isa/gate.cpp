#include "runners/isa/gate.hpp"

#include <fmt/format.h>

#include <set>

namespace greta::runners::isa {
namespace {

struct Column {
  const char* head;
  const char* figure;
  const char* format;
};
constexpr Column kCommon[] = {
    {"vgpr", "vgpr", "{:.0f}"}, {"lds", "lds_bytes", "{:.0f}"}, {"waves", "waves_per_simd", "{:.3g}"}};
constexpr Column kMatrix[] = {{"mfma", "mfma_passes", "{:.0f}"},    {"valu/m", "valu_per_mfma", "{:.2f}"},
                              {"lds/m", "lds_per_mfma", "{:.2f}"},  {"flop/B", "flop_per_lds_byte", "{:.0f}"},
                              {"l2wait", "load_to_wait", "{:.0f}"}, {"m/bar", "passes_per_barrier", "{:.0f}"},
                              {"w*xdl", "waves_x_xdl", "{:.2f}"},   {"TFLOP/s", "predicted_tflops", "{:.0f}"}};
constexpr Column kBandwidth[] = {{"flight", "flight_bytes", "{:.0f}"},
                                 {"valu%", "valu_share", "{:.0f}"},
                                 {"wide%", "wide_share", "{:.0f}"},
                                 {"narrow", "narrow_loads", "{:.0f}"},
                                 {"branch", "divergent_branches", "{:.0f}"}};

std::span<const Column> columns(Kind kind) {
  if (kind == Kind::kMatrix || kind == Kind::kMatrix64 || kind == Kind::kInteger) return kMatrix;
  if (kind == Kind::kBandwidth) return kBandwidth;
  return {};
}

std::string cell(const Figures& figures, const Column& column) {
  const auto found = figures.find(column.figure);
  return found == figures.end() ? "-" : fmt::format(fmt::runtime(column.format), found->second);
}

}  // namespace

std::vector<Judged> judge_objects(const Toolchain& tools, const std::vector<CodeObject>& objects,
                                  std::span<const Row> rows, const Baseline* baseline) {
  std::vector<Judged> out;
  std::set<std::string> keys;
  for (const CodeObject& object : objects)
    for (const Kernel& kernel : object.kernels) {
      Judged j{object.name, &kernel, find_row(rows, object.name, kernel.name), {}, {}};
      if (!j.row) {
        j.judgement.red.push_back("manifest: no row for this kernel in runners/isa/manifest.cpp");
      } else {
        j.report = measure(tools, kernel, j.row->declared);
        const Figures* before = nullptr;
        if (baseline) {
          if (const auto found = baseline->kernels.find(j.key()); found != baseline->kernels.end())
            before = &found->second;
        }
        j.judgement = judge(*j.row, j.report, before);
        if (baseline && !before)
          j.judgement.red.push_back("drift: not in the baseline; next: greta isa --rebaseline --reason TEXT");
      }
      if (!keys.insert(j.key()).second)
        j.judgement.red.push_back("manifest: two kernels of this object have this name; give one another");
      out.push_back(std::move(j));
    }
  return out;
}

std::vector<std::string> idle_entries(const std::vector<Judged>& judged, std::span<const Row> rows,
                                      const Baseline* baseline) {
  std::vector<std::string> idle;
  std::set<const Row*> used;
  std::set<std::string> keys, waived;
  for (const Judged& j : judged) {
    used.insert(j.row), keys.insert(j.key());
    for (const std::string& line : j.judgement.waived)
      for (const Waiver& w : j.row->waivers)
        if (line.find(w.figure) != std::string::npos)
          waived.insert(fmt::format("{} {}", static_cast<const void*>(j.row), w.figure));
  }
  for (const Row& row : rows) {
    if (!used.count(&row)) idle.push_back(fmt::format("manifest: no kernel for row {} {}", row.object, row.kernel));
    for (const Waiver& w : row.waivers)
      if (used.count(&row) && !waived.count(fmt::format("{} {}", static_cast<const void*>(&row), w.figure)))
        idle.push_back(
            fmt::format("manifest: {} {} needs no waiver for {}: take it out", row.object, row.kernel, w.figure));
  }
  if (baseline)
    for (const auto& [key, figures] : baseline->kernels)
      if (!keys.count(key))
        idle.push_back(fmt::format("baseline: {} is there no more; next: greta isa --rebaseline", key));
  return idle;
}

std::string table_head(Kind kind) {
  std::string line = fmt::format("  {:<64}", fmt::format("class {}", kind_name(kind)));
  for (const Column& c : kCommon) line += fmt::format(" {:>6}", c.head);
  for (const Column& c : columns(kind)) line += fmt::format(" {:>7}", c.head);
  return line + "  verdict";
}

std::string table_line(const Judged& j) {
  std::string name = fmt::format("{} {}", j.object, j.kernel->name);
  for (const std::string_view drop : {"(", ")"})
    for (size_t at; (at = name.find(drop)) != std::string::npos;) name.erase(at, 1);
  std::string line = fmt::format("  {:<64}", name);
  for (const Column& c : kCommon) line += fmt::format(" {:>6}", cell(j.report.figures, c));
  if (j.row)
    for (const Column& c : columns(j.row->kind)) line += fmt::format(" {:>7}", cell(j.report.figures, c));
  const bool waived = !j.judgement.waived.empty();
  return line + (j.judgement.red.empty() ? (waived ? "  PASS (waived)" : "  PASS") : "  FAIL");
}

}  // namespace greta::runners::isa
