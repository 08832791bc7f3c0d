// The committed figures: one line a kernel, so that a diff shows what changed.
#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/hip/error.hpp"
#include "runners/isa/rules.hpp"

namespace greta::runners::isa {

using Json = nlohmann::ordered_json;

Baseline read_baseline(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw_invalid(fmt::format("greta isa: no baseline {}; next: greta isa --rebaseline --reason TEXT", path));
  try {
    const Json json = Json::parse(in);
    Baseline baseline{json.at("compiler"), json.at("reason"), {}};
    for (const auto& [name, row] : json.at("kernels").items()) {
      Figures& figures = baseline.kernels[name];
      for (const auto& [figure, value] : row.items()) figures[figure] = value.get<double>();
    }
    return baseline;
  } catch (const nlohmann::json::exception& error) {
    throw_invalid(fmt::format("greta isa: {} is no baseline: {}", path, error.what()));
  }
}

void write_baseline(const std::string& path, const Baseline& baseline) {
  std::ostringstream text;
  text << fmt::format("{{\"compiler\": {},\n \"reason\": {},\n \"kernels\": {{\n", Json(baseline.compiler).dump(),
                      Json(baseline.reason).dump());
  size_t left = baseline.kernels.size();
  for (const auto& [name, figures] : baseline.kernels) {
    Json row = Json::object();
    for (const FigureInfo& info : figure_table())
      if (const auto f = figures.find(info.name); f != figures.end()) {
        const double rounded = std::round(f->second * 1e4) / 1e4;
        if (rounded == std::floor(rounded) && std::abs(rounded) < 1e15)
          row[info.name] = static_cast<int64_t>(rounded);
        else
          row[info.name] = rounded;
      }
    text << "  " << Json(name).dump() << ": " << row.dump() << (--left ? ",\n" : "\n");
  }
  text << "}}\n";
  std::ofstream out(path);
  out << text.str();
  out.close();
  if (!out) throw Error(ErrorKind::kIo, fmt::format("greta isa: {} could not be written", path));
}

}  // namespace greta::runners::isa
