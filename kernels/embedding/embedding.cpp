#include "kernels/embedding/embedding.hpp"

#include "kernels/tile/run_rung.hpp"

namespace greta {

void embedding_v1(hip::Stream&, const EmbeddingProblem&, const EmbeddingArgs&);

namespace {
constexpr EmbeddingRung kLadder[] = {
    {"v1", embedding_v1, accepts_all<EmbeddingProblem>, "embedding_f32",
     "one workgroup a token, a piece of 32 values a thread"},
};
}  // namespace

std::span<const EmbeddingRung> embedding_ladder() { return kLadder; }

void embedding(hip::Stream& stream, const EmbeddingRung& rung, const EmbeddingProblem& problem,
               const EmbeddingArgs& args) {
  run_rung("embedding", stream, rung, problem, args);
}

}  // namespace greta
