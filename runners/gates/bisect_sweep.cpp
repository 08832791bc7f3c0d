#include "runners/gates/bisect_sweep.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace greta::runners {

std::vector<SweepRow> sweep_bisect(const BisectRequest& request, const std::vector<int64_t>& layers,
                                   const std::function<void(const SweepRow&)>& each) {
  std::vector<SweepRow> rows;
  const auto last = static_cast<int64_t>(request.ids.size()) - 1;
  for (int64_t layer = -1; layer < request.model->config.n_layers; ++layer)
    for (const model::StageInfo& stage : model::stage_table()) {
      if (!stage.main || stage.per_layer != (layer >= 0)) continue;
      if (layer >= 0 && !layers.empty() && std::find(layers.begin(), layers.end(), layer) == layers.end()) continue;
      SweepRow row;
      row.planting =
          model::planting_from_text(fmt::format("{}:{}:{}", stage.name, layer < 0 ? "-" : std::to_string(layer), last));
      row.side = rows.size() % 2 ? "a" : "b";
      BisectRequest one = request;
      one.layers.clear();
      (row.side == "a" ? one.a : one.b).options.planting = row.planting;
      const BisectResult result = run_bisect(one);
      row.seconds = result.seconds;
      row.found = result.outcome.reason.empty() ? "no difference" : result.outcome.reason;
      if (result.first) {
        row.located = result.first->key == model::PointKey{last, layer, model::stage_index(stage.name)};
        row.class_right = result.first->stage_class == class_of(stage.name);
        row.side_right = result.first->wrong == row.side;
      }
      rows.push_back(row);
      if (each) each(row);
    }
  return rows;
}

}  // namespace greta::runners
