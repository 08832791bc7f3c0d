// The manifest: for each kernel of each code object, what class it is, how it is launched, and what its binary does not
// say. A kernel without a row is red, and so is a row without a kernel. First match counts.
#include "runners/isa/rules.hpp"

namespace greta::runners::isa {
namespace {

constexpr const char* kYardstick = "the plain first rung, which others are measured against";
constexpr const char* kVector = "fp32 vector rung: bound by multiply-adds, neither by matrix units nor by bytes";
constexpr const char* kRagged = "for widths and addresses that are not on 16 bytes; models do not launch it";
constexpr const char* kRuntime = "the runtime's own, not on the way of a model";
constexpr const char* kFewRows = "few rows of activations: bound by the weights' bytes, of which it reads each once";
constexpr const char* kFewSplits = "for fewer splits than CUs: bound by the latency of a split, not by bytes";
constexpr const char* kFewKeys = "for splits of a quarter of the CUs at most: bound by latency, not by bytes";
constexpr const char* kSmall = "launch-bound: one row a decoded token";

constexpr const char* kMatrixSoftmax =
    "softmax, the rounding of p and the end of a split, which the way through the loop counts though one tile in eight "
    "has it; a tile without it: docs/experiments.md";
constexpr const char* kMatrixWait = "loads of a ragged last tile are waited for at once, and count as the loop's";

constexpr const char* kFewOutputs =
    "64 x 64 outputs a wave, for matrices whose larger tiles would leave the device idle";

constexpr const char* kVariant = "a variant for benchmarks, outside the ladder: models do not launch it";

/// gemm_v2, large tiles. Their dynamic LDS: Tile<...>::kLds of each type.
const std::vector<Waiver> kLargeInteger = {
    {"valu_per_mfma", 3.5, "scales, minima and the float chain of every 32 columns on 64 sums a lane"},
    {"lds_per_mfma", 3, "tiles of 64 x 32 a wave read each operand for few products"},
    {"load_to_wait", 0, "scales are waited for where they are unpacked"},
    {"waves_x_xdl", 0.32, "what those add up to"}};

const Row kRows[] = {
    // ------------------------------------------------------------------------------------------------ attention
    {"prefill_attention/v1_naive", ".*", Kind::kHardOnly, {.threads = 256}, kYardstick},
    {"prefill_attention/v2_online_softmax", ".*", Kind::kHardOnly, {.threads = 256}, kVector},
    {"prefill_attention/v3_q_in_lds", ".*", Kind::kHardOnly, {.threads = 256}, kVector},
    {"prefill_attention/v4_mma",
     ".*, 128, 64, .*",
     Kind::kMatrix,
     {.threads = 256, .dynamic_lds = 32768},
     "",
     {{"valu_per_mfma", 1.9, kMatrixSoftmax},
      {"load_to_wait", 0, kMatrixWait},
      {"waves_x_xdl", 0.54, "what the vector work comes to; a second wave of the SIMD multiplies meanwhile"}}},
    {"prefill_attention/v4_mma",
     ".*",
     Kind::kMatrix64,
     {.threads = 256, .dynamic_lds = 16384},
     "",
     {{"valu_per_mfma", 2.9, kMatrixSoftmax},
      {"load_to_wait", 0, kMatrixWait},
      {"waves_x_xdl", 0.43, "what the vector work comes to; a second wave of the SIMD multiplies meanwhile"}}},
    {"decode_attention/v1_naive", ".*", Kind::kHardOnly, {.threads = 256}, kYardstick},
    {"decode_attention/v2_split_kv", ".*_merge_kernel<.*", Kind::kHardOnly, {.threads = 256}, kSmall},
    {"decode_attention/v2_split_kv", ".*", Kind::kHardOnly, {.threads = 256}, kVector},
    {"decode_attention/v3_matrix_split_kv", ".*_merge_kernel<.*", Kind::kHardOnly, {.threads = 128}, kSmall},
    {"decode_attention/v3_matrix_split_kv",
     ".*",
     Kind::kHardOnly,
     {.threads = 256},
     "bandwidth-bound on matrix tiles; its figures stand in the kernel's header"},
    {"decode_attention/v4_split_per_workgroup", ".*_merge_kernel<.*", Kind::kHardOnly, {.threads = 128}, kSmall},
    {"decode_attention/v4_split_per_workgroup",
     ".*, 128, 64, .*",
     Kind::kHardOnly,
     {.threads = 256, .dynamic_lds = 32768},
     kFewSplits},
    {"decode_attention/v4_split_per_workgroup",
     ".*",
     Kind::kHardOnly,
     {.threads = 256, .dynamic_lds = 16384},
     kFewSplits},
    {"decode_attention/v5_scores_then_channels", ".*_scores_kernel<.*", Kind::kHardOnly, {.threads = 256}, kFewKeys},
    {"decode_attention/v5_scores_then_channels",
     ".*",
     Kind::kHardOnly,
     {.threads = 512, .dynamic_lds = 53248},
     kFewKeys},

    // ------------------------------------------------------------------------------------------------ matmul
    {"quant_matmul/float_v1", ".*", Kind::kHardOnly, {.threads = 256}, kYardstick},
    {"quant_matmul/float_v2",
     "float_gemv_kernel<.*",
     Kind::kBandwidth,
     {.threads = 256},
     "",
     {{"valu_share", 0, "its products are matrix instructions, of which this figure knows nothing"}}},
    {"quant_matmul/float_v2", ".*FloatTile<64, 4, 1, 1, 4, .*", Kind::kHardOnly, {.threads = 256}, kFewRows},
    {"quant_matmul/float_v2",
     ".*FloatTile<64, 4, 4, .*",
     Kind::kMatrix,
     {.threads = 256, .dynamic_lds = 32768},
     "",
     {{"lds_per_mfma", 0.88, kFewOutputs}, {"flop_per_lds_byte", 18, kFewOutputs}, {"waves_x_xdl", 0.87, kFewOutputs}}},
    {"quant_matmul/float_v2", ".*", Kind::kMatrix, {.threads = 512, .dynamic_lds = 65536}, ""},
    {"quant_matmul/gemm_v1", ".*", Kind::kHardOnly, {.threads = 256}, kYardstick},
    {"quant_matmul/gemv_v1", ".*", Kind::kHardOnly, {.threads = 256}, kYardstick},
    {"quant_matmul/gemv_v3",
     ".*",
     Kind::kBandwidth,
     {.threads = 128},
     "",
     {{"divergent_branches", 5, "the chain runs on one lane an output, and a row's ragged end"},
      {"waves_per_simd", 1.5, "eight rows of activations: their terms fill registers and LDS"},
      {"wide_share", 88, "scales of activation blocks are 4 bytes"}}},
    {"quant_matmul/gemv_v2",
     ".*",
     Kind::kBandwidth,
     {.threads = 128},
     "",
     {{"wide_share", 70, "block headers are 2 or 4 bytes, and blocks of Q6_K (210) and Q8_0 (34) start on no 16"},
      {"waves_per_simd", 1.5, "eight rows of activations: their terms fill registers and LDS"},
      {"divergent_branches", 5, "the chain runs on one lane an output, and rows end raggedly"}}},
    {"quant_matmul/gemm_v2", ".*Tile<.*, [14], 1, 1, 4> >", Kind::kHardOnly, {.threads = 256}, kFewRows},
    {"quant_matmul/gemm_v2", ".*Tile<.*, 4, 2, [24], 2> >", Kind::kHardOnly, {.threads = 512}, kVariant},
    {"quant_matmul/gemm_v3", ".*Tile<.*, 1, 1, 4>, false>", Kind::kHardOnly, {.threads = 256}, kVariant},
    {"quant_matmul/gemm_v3", ".*, true>", Kind::kHardOnly, {.threads = 256}, kVariant},
    {"quant_matmul/gemm_v3", ".*", Kind::kHardOnly, {.threads = 256}, kFewRows},
    {"quant_matmul/gemm_v4", ".*Q4K, 1, 1> >", Kind::kHardOnly, {.threads = 320, .dynamic_lds = 18688}, kFewRows},
    {"quant_matmul/gemm_v4", ".*Q4K, 2, 1> >", Kind::kHardOnly, {.threads = 384, .dynamic_lds = 27648}, kFewRows},
    {"quant_matmul/gemm_v4", ".*Q4K, 4, 1> >", Kind::kHardOnly, {.threads = 512, .dynamic_lds = 45568}, kFewRows},
    {"quant_matmul/gemm_v4", ".*Q6K, 1, 1> >", Kind::kHardOnly, {.threads = 320, .dynamic_lds = 27136}, kFewRows},
    {"quant_matmul/gemm_v4", ".*Q6K, 2, 1> >", Kind::kHardOnly, {.threads = 384, .dynamic_lds = 36096}, kFewRows},
    {"quant_matmul/gemm_v4", ".*Q6K, 4, 1> >", Kind::kHardOnly, {.threads = 512, .dynamic_lds = 54016}, kFewRows},
    {"quant_matmul/gemm_v4_free", ".*Q4K, 1, 1> >", Kind::kHardOnly, {.threads = 320, .dynamic_lds = 18688}, kVariant},
    {"quant_matmul/gemm_v4_free", ".*Q4K, 2, 1> >", Kind::kHardOnly, {.threads = 384, .dynamic_lds = 27648}, kVariant},
    {"quant_matmul/gemm_v4_free", ".*Q4K, 4, 1> >", Kind::kHardOnly, {.threads = 512, .dynamic_lds = 45568}, kVariant},
    {"quant_matmul/gemm_v4_free", ".*Q6K, 1, 1> >", Kind::kHardOnly, {.threads = 320, .dynamic_lds = 27136}, kVariant},
    {"quant_matmul/gemm_v4_free", ".*Q6K, 2, 1> >", Kind::kHardOnly, {.threads = 384, .dynamic_lds = 36096}, kVariant},
    {"quant_matmul/gemm_v4_free", ".*Q6K, 4, 1> >", Kind::kHardOnly, {.threads = 512, .dynamic_lds = 54016}, kVariant},
    {"quant_matmul/gemm_v2_free", "zero_kernel", Kind::kHardOnly, {.threads = 256}, kVariant},
    {"quant_matmul/gemm_v2_free", ".*", Kind::kHardOnly, {.threads = 512}, kVariant},
    {"quant_matmul/gemm_v2", ".*BlockQ4K.*", Kind::kInteger, {.threads = 512, .dynamic_lds = 42496}, "", kLargeInteger},
    {"quant_matmul/gemm_v2", ".*BlockQ6K.*", Kind::kInteger, {.threads = 512, .dynamic_lds = 56832}, "", kLargeInteger},
    {"quant_matmul/gemm_v2",
     ".*",
     Kind::kInteger,
     {.threads = 512, .dynamic_lds = 40960},
     "",
     {{"valu_per_mfma", 3.5, "the float chain of every block of 32 columns on 64 sums a lane"},
      {"lds_per_mfma", 3, "tiles of 64 x 32 a wave read each operand, and the scales of every block, for few products"},
      {"flop_per_lds_byte", 13, "the same"},
      {"passes_per_barrier", 64, "one step of 64 columns between barriers"},
      {"load_to_wait", 0, "scales are waited for where they are unpacked"},
      {"waves_x_xdl", 0.32, "what those add up to"}}},
    {"quant_matmul/quantize_v1",
     ".*",
     Kind::kBandwidth,
     {.threads = 256},
     "",
     {{"divisions", 2, "two a block of 32 or 256 values: the scale and its inverse, by definition exactly rounded"},
      {"divergent_branches", 2, "a row's ragged end, and the lanes that write a block's scale"}}},

    // ------------------------------------------------------------------------------------------------ elementwise
    {"rms_norm/v2_row_in_registers", ".*", Kind::kBandwidth, {.threads = 256}},
    {"add_rms_norm/v1_row_in_registers", ".*", Kind::kBandwidth, {.threads = 256}},
    {"rope/v2_angles_in_registers",
     ".*",
     Kind::kBandwidth,
     {.threads = 256},
     "",
     {{"divergent_branches", 5, "a guard around the store of each head in flight"}}},
    {"rope_kv_store/v1_heads_in_flight",
     ".*",
     Kind::kBandwidth,
     {.threads = 256},
     "",
     {{"divergent_branches", 26, "for each head in flight: where it comes from, and whether it is stored"}}},
    {"swiglu_quantize/v1_lanes_of_a_block", ".*<float.*", Kind::kBandwidth, {.threads = 256}},
    {"swiglu_quantize/v1_lanes_of_a_block",
     ".*",
     Kind::kBandwidth,
     {.threads = 256},
     "",
     {{"valu_share", 135, "SiLU with its exact quotient, and the quantiser, for two bytes an operand"}}},
    {"rms_norm/v1_row_per_workgroup", "rms_norm_kernel<.*, true>", Kind::kBandwidth, {.threads = 256}},
    {"rms_norm/v1_row_per_workgroup", ".*", Kind::kHardOnly, {.threads = 256}, kRagged},
    {"rope/v1_token_per_workgroup",
     "rope_kernel<(half_t|bf16_t), .*, 8>|rope_kernel<float, .*, 4>",
     Kind::kBandwidth,
     {.threads = 256}},
    {"rope/v1_token_per_workgroup", ".*", Kind::kHardOnly, {.threads = 256}, kRagged},
    {"kv_store/v1_token_per_workgroup", "kv_store_kernel<(.*, 8|float, 4)>", Kind::kBandwidth, {.threads = 256}},
    {"kv_store/v1_token_per_workgroup", ".*", Kind::kHardOnly, {.threads = 256}, kRagged},
    {"swiglu/v1_elementwise",
     "swiglu_kernel<bf16_t, .ExpMode.0, true>",
     Kind::kBandwidth,
     {.threads = 256},
     "",
     {{"valu_share", 65, "portable exp2, which exists to compare bits; models run the hardware's"}}},
    {"swiglu/v1_elementwise", "swiglu_kernel<.*, true>", Kind::kBandwidth, {.threads = 256}},
    {"swiglu/v1_elementwise",
     ".*",
     Kind::kHardOnly,
     {.threads = 256},
     kRagged,
     {{"divisions", 1, "the quotient of SiLU, exactly rounded by definition; one element at a time here"}}},
    {"residual_add/v1_elementwise", "residual_add_kernel<true>", Kind::kBandwidth, {.threads = 256}},
    {"residual_add/v1_elementwise", ".*", Kind::kHardOnly, {.threads = 256}, kRagged},
    {"embedding/v1_token_per_workgroup", ".*", Kind::kHardOnly, {.threads = 256}, kSmall},
    {"argmax/v1_row_per_workgroup", ".*", Kind::kHardOnly, {.threads = 256}, kSmall},

    // ------------------------------------------------------------------------------------------------ runtime
    {"ceilings/ceilings", ".*", Kind::kHardOnly, {.threads = 256}, "measures the device, not a kernel"},
    {"matrix_tiles/matrix_tiles", ".*", Kind::kHardOnly, {.threads = 256}, "measures the device, not a kernel"},
    {"probes/probes", ".*", Kind::kHardOnly, {.threads = 256}, kRuntime},
    {"hip/flag_probe", ".*", Kind::kHardOnly, {.threads = 256}, kRuntime},
    {"hip/gpu/memory", ".*", Kind::kHardOnly, {.threads = 256}, kRuntime},
};

}  // namespace

std::span<const Row> manifest() { return kRows; }

}  // namespace greta::runners::isa
