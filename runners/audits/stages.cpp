#include "runners/audits/stages.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace greta::runners {
namespace {

template <class T>
void widen(const std::vector<char>& bytes, std::vector<float>& out) {
  const T* from = reinterpret_cast<const T*>(bytes.data());
  for (size_t i = 0; i < out.size(); ++i) out[i] = to_f32(from[i]);
}

}  // namespace

std::vector<float> download_floats(hip::Stream& stream, const hip::AnyView& view) {
  std::vector<char> bytes(view.count() * static_cast<size_t>(dtype_block_bytes(view.dtype())));
  model::read_view(stream, view, bytes.data());
  std::vector<float> out(view.count());
  switch (view.dtype()) {
    case DType::kF32:
      widen<float>(bytes, out);
      break;
    case DType::kF16:
      widen<half_t>(bytes, out);
      break;
    case DType::kBF16:
      widen<bf16_t>(bytes, out);
      break;
    default:
      throw_invalid(fmt::format("stage of {}: wanted f32, f16 or bf16", dtype_name(view.dtype())));
  }
  return out;
}

StageCapture::StageCapture(model::Llama& engine, std::vector<std::string> only, int64_t slot)
    : engine_(engine), only_(std::move(only)), slot_(slot) {
  engine_.set_stage_sink([this](const model::StageEvent& event) {
    const bool cache = !event.data_rows.empty() || event.stage == "softmax_stats";
    if (only_.empty() ? cache : std::find(only_.begin(), only_.end(), event.stage) == only_.end()) return;
    CapturedStage& to = stages_[{std::string(event.stage), event.layer}];
    if (to.width && to.width != event.width)
      throw_invalid(fmt::format("stage {} of layer {}: rows of {} values after rows of {}", event.stage, event.layer,
                                event.width, to.width));
    to.dtype = event.data.dtype(), to.width = event.width;
    for (size_t i = 0; i < event.rows.size(); ++i) {
      if (event.rows[i].slot != slot_) continue;
      const std::vector<float> values = download_floats(engine_.stream(), event.row(i));
      to.values.insert(to.values.end(), values.begin(), values.end());
      to.positions.push_back(event.rows[i].position);
    }
  });
}

StageCapture::~StageCapture() { engine_.set_stage_sink({}); }

const CapturedStage& StageCapture::at(const std::string& stage, int64_t layer) const {
  const auto it = stages_.find({stage, layer});
  if (it == stages_.end())
    throw_invalid(fmt::format("stage {} of layer {} was asked for and not produced", stage, layer));
  return it->second;
}

}  // namespace greta::runners
