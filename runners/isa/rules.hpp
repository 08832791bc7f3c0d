// What is demanded of a kernel: its row in the manifest, hard rules, thresholds of its class, drift against a baseline.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "runners/isa/figures.hpp"

namespace greta::runners::isa {

enum class Kind {
  kMatrix,     ///< M: f16/bf16 MFMA loops at head_dim 128, and matrix products
  kMatrix64,   ///< M at head_dim 64, where softmax weighs twice
  kInteger,    ///< Q: int8 MFMA loops
  kBandwidth,  ///< B: loops that live on bytes
  kHardOnly,   ///< no class: hard rules and drift alone, for the reason the row gives
};
std::string_view kind_name(Kind kind);  ///< "M", "M64", "Q", "B", "-"

/// A threshold of the class that this kernel does not reach, the limit it is held to instead, and why. Of the hard
/// rules only that on divisions can be waived: one for a block of values is no loss.
struct Waiver {
  const char* figure;
  double limit;
  const char* why;
};

/// A row of the manifest (runners/isa/manifest.cpp): kernels of one code object whose short name matches.
struct Row {
  const char* object;  ///< "swiglu/v1_elementwise"
  const char* kernel;  ///< regular expression of the whole short name
  Kind kind;
  Declared declared;
  const char* reason = "";  ///< kHardOnly: why it has no class
  std::vector<Waiver> waivers = {};
};
std::span<const Row> manifest();
/// The first row that matches; null when there is none.
const Row* find_row(std::span<const Row> rows, const std::string& object, const std::string& kernel);

struct Threshold {
  const char* figure;
  bool at_most;  ///< else at least
  double fail, goal;
  bool absent_is_good;  ///< no LDS traffic, no barrier
};
std::span<const Threshold> thresholds(Kind kind);

/// Figures of every kernel as they were accepted, with the compiler that made them.
struct Baseline {
  std::string compiler;
  std::string reason;                      ///< of the last change
  std::map<std::string, Figures> kernels;  ///< by "object kernel"
};
/// <source>/results/baselines/gfx942/isa.json. Throws kInvalidArgument when it is missing or not as written here.
Baseline read_baseline(const std::string& path);
void write_baseline(const std::string& path, const Baseline& baseline);

/// What a kernel's figures come to. Each line starts with the name of the rule.
struct Judgement {
  std::vector<std::string> red;
  std::vector<std::string> waived;  ///< short of the class, within the waiver
  std::vector<std::string> goals;   ///< passes and could be better
};
/// `baseline` null: no drift rule (another compiler made it).
Judgement judge(const Row& row, const Report& report, const Figures* baseline);

/// Any change for the worse above 5 percent; of what counts pieces, any.
std::vector<std::string> drift(const Figures& now, const Figures& baseline);

}  // namespace greta::runners::isa
