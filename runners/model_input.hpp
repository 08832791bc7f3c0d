// What the model verbs are fed: --model, and token ids from a file of ids, a text on the command line or a text file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/gguf.hpp"
#include "model/llama.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {

/// Flags of the input; add() declares --ids, --prompt, --text-file and --tokens, of which exactly one of the first
/// three is wanted.
struct IdsInput {
  std::optional<std::string> ids_file, prompt, text_file;  ///< as given, an empty word too
  int64_t tokens = 0;                                      ///< --tokens N: the first N ids only; 0: all

  /// `required` false: read() asks for it instead, for verbs that can do without.
  void add(Command verb, bool required = true);
  /// Throws kInvalidArgument naming the flag or file: nothing given, two given, unreadable, no JSON array of integers
  /// (or {"ids": [...]}), ids outside the vocabulary, fewer ids than --tokens asks for.
  std::vector<int32_t> read(const model::GgufFile& file, int64_t vocab) const;
};

/// Flags of the engine that model verbs share: --kv, --act, --context.
struct EngineFlags {
  std::string kv = "fp16", activations = "fp16";

  void add(Command verb);
  /// With --rung and --exp of the common flags. Throws kInvalidArgument for names that are none.
  model::EngineOptions options(const CommonFlags& flags) const;
};

/// Reads a whole small file; throws kInvalidArgument naming it when it cannot be read.
std::string read_text_file(const std::string& path);

}  // namespace greta::runners
