// Mistakes planted at a named point of the forward pass, for tests of what must find and place them: "one value of
// mlp_out of layer 3 at position 4 is a little wrong". Defects of the wiring (model/defects.hpp) change what the engine
// does; a planting changes what one tensor holds, at the moment when it has been computed and before anything reads it.
//
//   EngineOptions options;
//   options.planting = planting_from_text("mlp_out:3:4");          // STAGE:LAYER:POSITION[:KIND[:AMOUNT]]
//   options.planting = Planting{.stage = "logits", .position = 7};
// The engine then runs without fusions and recorded steps, as when its stages are watched: same bits. Without a
// planting the cost is one comparison of a pointer a stage.
#pragma once

#include <optional>
#include <vector>

#include "model/stages.hpp"

namespace greta::model {

enum class PlantKind {
  kPerturb,    ///< one element is moved by amount * rms of its row (at least one step of its type)
  kNan,        ///< one element is NaN
  kZero,       ///< the row is zeros: never written
  kStale,      ///< the row is what the same stage held one layer before (zeros in the first): a read of a wrong buffer.
               ///< At residual_pre_attn only the norm reads it; the residual stream itself stays right
  kNeighbour,  ///< the row is that of the token before, of the same pass: a read at a wrong row
};

struct Planting {
  std::string stage;
  int64_t layer = -1;    ///< -1 for stages outside layers
  int64_t position = 0;  ///< -1: every position
  int64_t slot = 0;      ///< sequence; gates set it to the sequence they compare
  PlantKind kind = PlantKind::kPerturb;
  double amount = 0.125;
  int64_t element = -1;  ///< of the row; -1: a third along it
};

/// "STAGE:LAYER:POSITION[:KIND[:AMOUNT]]"; LAYER is - outside layers, POSITION may be *; KIND is perturb, nan, zero,
/// stale or neighbour (default: perturb, and stale at residual_pre_attn). Throws kInvalidArgument for anything else.
Planting planting_from_text(std::string_view text);
std::string to_text(const Planting& planting);

class Planter {
 public:
  /// Throws kInvalidArgument when the model has no such stage or layer, or the stage holds nothing to change
  /// (softmax_stats).
  Planter(Planting planting, int64_t n_layers);
  /// To be called at every stage, in order.
  void at(const StageEvent& event, hip::Stream& stream);
  /// Rows changed so far: 0 at the end of a run means that nothing was planted.
  int64_t planted() const { return planted_; }

 private:
  void change(const hip::AnyView& row, hip::Stream& stream);
  bool wanted(const PassRow& row) const;

  Planting planting_;
  int64_t planted_ = 0;
  struct Kept {
    int64_t slot, position;
    hip::AnyView row;
    std::vector<char> bytes;
  };
  std::vector<Kept> before_;   ///< rows of the stage one layer before
  std::vector<Kept> restore_;  ///< what stands where a wrong buffer was read
};

}  // namespace greta::model
