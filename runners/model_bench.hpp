// Benchmark cases of a whole model: prompts of several lengths, and decode steps behind a filled cache.
//
//   model_prefill/whole/N     a prompt of N tokens into an empty slot, greedy choice of the next token
//   model_decode/eager/N      one token behind N cached positions, greedy choice; every operator launched by the host
//   model_decode/graph/N      the same, the recorded step replayed (where the platform has graphs)
//
// Time is that between two events on the engine's stream: the upload of a step's inputs, everything the host does
// between launches and the download of the choice are in it. Bytes are the weights once, and the cached keys and values
// once for decode; FLOP are not judged, since the ceilings are those of vector units. A prompt's answer must have the
// bits of the same prompt one token shorter and a decode step; a replayed step those of an eager one.
#pragma once

#include <string>
#include <vector>

#include "bench/bench_case.hpp"
#include "model/llama.hpp"

namespace greta::runners {

struct ModelBench {
  std::string model;  ///< GGUF file; empty: a model of `shape` made from the seed in the temporary folder
  std::string shape;
  model::EngineOptions engine;
  std::vector<int64_t> prompts;  ///< N of model_prefill
  std::vector<int64_t> cached;   ///< N of model_decode, ascending
};

/// The model is made and loaded when the first case runs, and stays as long as the cases.
void add_model_cases(std::vector<bench::BenchCase>& to, const ModelBench& bench);

}  // namespace greta::runners
