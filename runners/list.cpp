// greta list: what this program is, where it runs, and every kernel, rung and arithmetic id it knows.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "kernels/argmax/argmax.hpp"
#include "kernels/decode_attention/decode_attention.hpp"
#include "kernels/embedding/embedding.hpp"
#include "kernels/kv_store/kv_store.hpp"
#include "kernels/prefill_attention/prefill_attention.hpp"
#include "kernels/quant_matmul/quant_matmul.hpp"
#include "kernels/residual_add/residual_add.hpp"
#include "kernels/rms_norm/rms_norm.hpp"
#include "kernels/rope/rope.hpp"
#include "kernels/swiglu/swiglu.hpp"
#include "results/build_info.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

template <class R>
void print_ladder(const char* name, std::span<const R> ladder) {
  for (const R& rung : ladder) fmt::print("  {:<18} {:<10} {:<22} {}\n", name, rung.name, rung.arithmetic, rung.change);
}

int run_list() {
  const hip::DeviceInfo& d = hip::device_info();
  fmt::print("platform   {}\n", d.platform);
  fmt::print(
      "device     {} ({}), {} compute units, waves of {} lanes, LDS {} KiB a workgroup, memory {:.1f} GiB, last-level "
      "cache {:.0f} MiB\n",
      d.name, d.architecture, d.compute_units, d.wave_size, d.lds_bytes_per_block / 1024,
      static_cast<double>(d.memory_bytes) / (1 << 30), static_cast<double>(d.last_level_cache_bytes) / (1 << 20));
  if (!d.driver.empty()) fmt::print("driver     {}\n", d.driver);
  fmt::print("program    {}\n", results::build_line());
  fmt::print("toolchain  {}\n", results::toolchain());
  fmt::print("\n  {:<18} {:<10} {:<22} {}\n", "operator", "rung", "arithmetic id", "the one change");
  print_ladder("prefill_attention", prefill_attention_ladder());
  print_ladder("decode_attention", decode_attention_ladder());
  print_ladder("quant_matmul", quant_matmul_ladder());
  print_ladder("rms_norm", rms_norm_ladder());
  print_ladder("rope", rope_ladder());
  print_ladder("kv_store", kv_store_ladder());
  print_ladder("swiglu", swiglu_ladder());
  print_ladder("residual_add", residual_add_ladder());
  print_ladder("embedding", embedding_ladder());
  print_ladder("argmax", argmax_ladder());
  fmt::print("\nRungs with one arithmetic id agree in every bit. Cases of each: greta verify --list\n");
  return kGreen;
}

}  // namespace

void register_list(CLI::App& app, CommonFlags& flags) {
  auto* verb = app.add_subcommand("list", "platform, device, toolchain; operators, rungs, arithmetic ids");
  verb->callback([&flags] { flags.exit_code = run_list(); });
}

}  // namespace greta::runners
