#include "model/planting.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace greta::model {
namespace {

constexpr std::array<std::pair<std::string_view, PlantKind>, 5> kKinds = {{{"perturb", PlantKind::kPerturb},
                                                                           {"nan", PlantKind::kNan},
                                                                           {"zero", PlantKind::kZero},
                                                                           {"stale", PlantKind::kStale},
                                                                           {"neighbour", PlantKind::kNeighbour}}};

template <class N>
N number(std::string_view all, std::string_view word, const char* what) {
  N n{};
  const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), n);
  if (error != std::errc{} || stop != word.data() + word.size())
    throw_invalid(
        fmt::format("planting '{}': {} '{}' is no number; want STAGE:LAYER:POSITION[:KIND[:AMOUNT]]", all, what, word));
  return n;
}

/// The row with one element moved; at least one step of the type.
template <class T>
void perturb(std::vector<char>& bytes, size_t element, PlantKind kind, double amount) {
  std::vector<T> row(bytes.size() / sizeof(T));
  std::memcpy(row.data(), bytes.data(), bytes.size());
  double squares = 0;
  for (const T& v : row) squares += static_cast<double>(to_f32(v)) * static_cast<double>(to_f32(v));
  const double rms = std::sqrt(squares / static_cast<double>(row.size()));
  const float old = to_f32(row[element]);
  double step = amount * (rms > 0 ? rms : 1.0);
  T next = row[element];
  if (kind == PlantKind::kNan) {
    next = from_f32<T>(std::numeric_limits<float>::quiet_NaN());
  } else {
    for (int i = 0; i < 200 && std::memcmp(&next, &row[element], sizeof(T)) == 0; ++i, step *= 2)
      next = from_f32<T>(static_cast<float>(static_cast<double>(old) + step));
  }
  row[element] = next;
  std::memcpy(bytes.data(), row.data(), bytes.size());
}

}  // namespace

Planting planting_from_text(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::string_view rest = text;;) {
    const size_t colon = rest.find(':');
    words.push_back(rest.substr(0, colon));
    if (colon == std::string_view::npos) break;
    rest = rest.substr(colon + 1);
  }
  if (words.size() < 3 || words.size() > 5)
    throw_invalid(fmt::format("planting '{}': want STAGE:LAYER:POSITION[:KIND[:AMOUNT]], e.g. mlp_out:3:4", text));
  Planting p;
  p.stage = words[0];
  stage_from_name(p.stage);
  p.layer = words[1] == "-" ? -1 : number<int64_t>(text, words[1], "layer");
  p.position = words[2] == "*" ? -1 : number<int64_t>(text, words[2], "position");
  p.kind = p.stage == "residual_pre_attn" ? PlantKind::kStale : PlantKind::kPerturb;
  if (words.size() > 3) {
    const auto kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& k) { return k.first == words[3]; });
    if (kind == kKinds.end())
      throw_invalid(
          fmt::format("planting '{}': no kind '{}'; known: perturb, nan, zero, stale, neighbour", text, words[3]));
    p.kind = kind->second;
  }
  if (words.size() > 4) p.amount = number<double>(text, words[4], "amount");
  return p;
}

std::string to_text(const Planting& p) {
  const auto kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& k) { return k.second == p.kind; });
  return fmt::format("{}:{}:{}:{}:{}", p.stage, p.layer < 0 ? "-" : std::to_string(p.layer),
                     p.position < 0 ? "*" : std::to_string(p.position), kind->first, p.amount);
}

Planter::Planter(Planting planting, int64_t n_layers) : planting_(std::move(planting)) {
  const StageInfo& stage = stage_from_name(planting_.stage);
  if (stage.name == "softmax_stats")
    throw_invalid("planting: softmax_stats is recomputed, no buffer of the engine holds it; plant at attn_out");
  if (stage.per_layer ? planting_.layer < 0 || planting_.layer >= n_layers : planting_.layer != -1)
    throw_invalid(fmt::format("planting {}: {}", to_text(planting_),
                              stage.per_layer ? fmt::format("the model has layers 0..{}", n_layers - 1)
                                              : std::string("the stage lies outside the layers: write - for layer")));
  if (!std::isfinite(planting_.amount) || planting_.amount == 0)
    throw_invalid(fmt::format("planting {}: an amount of {} changes nothing", to_text(planting_), planting_.amount));
}

bool Planter::wanted(const PassRow& row) const {
  return row.slot == planting_.slot && (planting_.position < 0 || row.position == planting_.position);
}

void Planter::at(const StageEvent& event, hip::Stream& stream) {
  // Only the norm read the wrong buffer: what adds to the residual stream afterwards must find it as it was.
  if (!restore_.empty() && event.stage != planting_.stage) {
    for (const Kept& kept : restore_) write_view(stream, kept.row, kept.bytes.data());
    restore_.clear();
  }
  if (event.stage != planting_.stage) return;
  const bool here = event.layer == planting_.layer;
  if (!here && (planting_.kind != PlantKind::kStale || event.layer != planting_.layer - 1)) return;
  if (!here) before_.clear();
  for (size_t i = 0; i < event.rows.size(); ++i) {
    if (!wanted(event.rows[i])) continue;
    const hip::AnyView row = event.row(i);
    std::vector<char> bytes(row.count() * static_cast<size_t>(dtype_block_bytes(row.dtype())));
    if (!here || (planting_.kind == PlantKind::kStale && planting_.stage == "residual_pre_attn"))
      read_view(stream, row, bytes.data());
    if (!here) {
      before_.push_back({event.rows[i].slot, event.rows[i].position, {}, std::move(bytes)});
      continue;
    }
    if (planting_.kind == PlantKind::kStale) {
      if (planting_.stage == "residual_pre_attn") restore_.push_back({0, 0, row, bytes});
      const auto before = std::find_if(before_.begin(), before_.end(), [&](const Kept& kept) {
        return kept.slot == event.rows[i].slot && kept.position == event.rows[i].position;
      });
      if (before != before_.end())
        bytes = before->bytes;
      else
        std::fill(bytes.begin(), bytes.end(), char{0});
      write_view(stream, row, bytes.data());
      ++planted_;
      continue;
    }
    if (planting_.kind == PlantKind::kNeighbour) {
      if (i == 0 || event.rows[i - 1].slot != event.rows[i].slot) continue;
      read_view(stream, event.row(i - 1), bytes.data());
      write_view(stream, row, bytes.data());
      ++planted_;
      continue;
    }
    change(row, stream);
  }
}

void Planter::change(const hip::AnyView& row, hip::Stream& stream) {
  std::vector<char> bytes(row.count() * static_cast<size_t>(dtype_block_bytes(row.dtype())), char{0});
  if (planting_.kind != PlantKind::kZero) {
    read_view(stream, row, bytes.data());
    const auto width = static_cast<int64_t>(row.count());
    const int64_t element = planting_.element < 0 ? width / 3 : planting_.element;
    if (element >= width)
      throw_invalid(fmt::format("planting {}: element {} of a row of {}", to_text(planting_), element, width));
    const auto at = static_cast<size_t>(element);
    if (row.dtype() == DType::kF16)
      perturb<half_t>(bytes, at, planting_.kind, planting_.amount);
    else if (row.dtype() == DType::kBF16)
      perturb<bf16_t>(bytes, at, planting_.kind, planting_.amount);
    else
      perturb<float>(bytes, at, planting_.kind, planting_.amount);
  }
  write_view(stream, row, bytes.data());
  ++planted_;
}

}  // namespace greta::model
