// Defects inside kernels (defective_kernels.hip), launched in RMSNorm's place, and one of the executor's settings.
#include <atomic>
#include <chrono>
#include <thread>

#include "kernels/hip/problem.hpp"
#include "kernels/hip/runtime.hpp"
#include "verify/buffers.hpp"
#include "verify/defects/defects.hpp"
#include "verify/defects/run_defective_attention.hpp"

namespace greta::verify {
namespace {

auto instead(RmsNormLaunch launch) {
  return [launch](const Call& call) {
    const auto p = from_line<RmsNormProblem>(call.problem);
    Buffers buffers("rms_norm");
    RmsNormArgs args;
    args.x = buffers.in(call.data["x"]).as<const float>("x");
    args.weight = buffers.in(call.data["weight"]).as<const float>("weight");
    args.y = buffers.out(Tensor("y", p.y, {{"row", p.n_rows}, {"c", p.width}}));
    launch(buffers.stream(), p, args);
    return buffers.collect();
  };
}

auto instead(AttentionMistake mistake) {
  return [mistake](const Call& call) { return run_defective_attention(mistake, call.problem, call.data); };
}

/// Additions in order of arrival: another order with another number of workers.
std::vector<Output> depends_on_workers(const Call& call) {
  std::vector<Output> out = call.launch();
  if (hip::exec_config().workers == 1) nudge(out[0].got, 1, 1);
  return out;
}

/// Two launches at once write one workspace; alone, all is well.
std::vector<Output> shares_workspace(const Call& call) {
  static std::atomic<int> inside{0};
  ++inside;
  bool together = false;
  for (int i = 0; i < 20 && !together; ++i) {
    together = inside.load() > 1;
    if (!together) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::vector<Output> out = call.launch();
  if (together) nudge(out[0].got, 2, 1);
  --inside;
  return out;
}

}  // namespace

std::vector<Defect> kernel_defects() {
  std::vector<Defect> all = {
      {"missing_barrier",
       "rms_norm/v1 odd_width y=f32",
       "no barrier between a store to LDS and its readers",
       {"I:order"},
       instead(rms_norm_missing_barrier)},
      {"serial_sum_of_waves",
       "rms_norm/v1 n_rows=40 width=1000 y=f32",
       "partial sums of waves added in a row on waves of 32",
       {"I:wave"},
       instead(rms_norm_serial_waves)},
      {"reads_unwritten_memory",
       "rms_norm/v1 odd_width y=f32",
       "a flag nobody wrote decides",
       {"I:poison"},
       instead(rms_norm_reads_unwritten)},
      {"reads_past_end",
       "rms_norm/v1 odd_width y=f32",
       "the last row's x is one row too far",
       {"E0", "E1", "N", "B", "S", "I:repeat", "I:poison", "I:order", "I:wave", "I:workers", "I:streams", "I:row_alone",
        "I:neighbours_nan"},
       instead(rms_norm_reads_past_end)},
      {"worker_dependent_order",
       "rms_norm/v1 odd_width y=f32",
       "partial results added in order of arrival",
       {"I:workers"},
       depends_on_workers},
      {"shared_workspace",
       "rms_norm/v1 odd_width y=f32",
       "launches on two streams use one workspace",
       {"I:streams"},
       shares_workspace},
      {"tiles_without_mistake",
       "prefill_attention/v4 split_plus_one dtype=f16",
       "nothing: the kernel that the next five are made of is right",
       {},
       instead(AttentionMistake::kNone)},
      {"tiles_swapped_fragments",
       "prefill_attention/v4 split_plus_one dtype=f16",
       "weights of two blocks of keys change places",
       {"E0", "E1", "B", "S", "I:decode"},
       instead(AttentionMistake::kSwappedFragments)},
      {"tiles_mask_one_late",
       "prefill_attention/v4 split_plus_one dtype=f16",
       "a query sees the key after its own",
       {"E1", "B", "S", "I:decode", "I:query_alone", "I:chunks"},
       instead(AttentionMistake::kMaskOneLate)},
      {"tiles_unmasked",
       "prefill_attention/v4 split_plus_one dtype=f16",
       "the last tile is not masked",
       {"E1", "B", "S", "I:decode", "I:query_alone", "I:chunks"},
       instead(AttentionMistake::kUnmaskedTile)},
      {"tiles_merge_without_rescale",
       "prefill_attention/v4 split_plus_one dtype=f16",
       "splits are merged without the factors of their maxima",
       {"E0", "E1", "B", "S", "I:decode"},
       instead(AttentionMistake::kMergeWithoutRescale)},
  };
  // What a race leaves behind is the same every time on host only: poison, in every answer.
  if (hip::platform_name() == "host")
    all.push_back({"tiles_without_barrier",
                   "prefill_attention/v4 split_plus_one dtype=f16",
                   "a wave multiplies by a tile that another still copies",
                   {"E0", "E1", "B", "S", "I:repeat", "I:poison", "I:order", "I:wave", "I:workers", "I:streams",
                    "I:decode", "I:batch_position", "I:padding", "I:query_alone", "I:chunks"},
                   instead(AttentionMistake::kNoBarrier)});
  return all;
}

}  // namespace greta::verify
