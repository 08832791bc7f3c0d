// greta list: what this program is, where it runs, and every kernel, rung and arithmetic id it knows. With --json FILE
// the same as one JSON document, appended to FILE as one line.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

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
#include "runners/command_line.hpp"
#include "runners/verbs.hpp"
#include "verify/matrix_calibration.hpp"
#include "verify/operator.hpp"

namespace greta::runners {
namespace {

struct Ladder {
  const char* name;
  std::vector<verify::RungInfo> rungs;
};

template <class R>
Ladder ladder(const char* name, std::span<const R> rungs) {
  Ladder out{name, {}};
  for (const R& r : rungs) out.rungs.push_back({r.name, r.arithmetic, r.change});
  return out;
}

/// In the order of a forward pass.
std::vector<Ladder> ladders() {
  return {ladder("embedding", embedding_ladder()),
          ladder("rms_norm", rms_norm_ladder()),
          ladder("quant_matmul", quant_matmul_ladder()),
          ladder("rope", rope_ladder()),
          ladder("kv_store", kv_store_ladder()),
          ladder("prefill_attention", prefill_attention_ladder()),
          ladder("decode_attention", decode_attention_ladder()),
          ladder("residual_add", residual_add_ladder()),
          ladder("swiglu", swiglu_ladder()),
          ladder("argmax", argmax_ladder())};
}

/// The whole answer as one JSON document, one line.
results::Json as_json() {
  const hip::DeviceInfo& d = hip::device_info();
  const results::BuildInfo& b = results::build_info();
  results::Json out = {{"schema", results::kSchemaVersion},
                       {"event", "list"},
                       {"platform", d.platform},
                       {"device",
                        {{"name", d.name},
                         {"architecture", d.architecture},
                         {"compute_units", d.compute_units},
                         {"wave_size", d.wave_size},
                         {"lds_bytes_per_block", d.lds_bytes_per_block},
                         {"memory_bytes", d.memory_bytes},
                         {"last_level_cache_bytes", d.last_level_cache_bytes},
                         {"driver", d.driver}}},
                       {"matrix_model", verify::calibration_state_name(verify::matrix_calibration_here().state)},
                       {"matrix_model_detail", verify::matrix_calibration_here().text},
                       {"commit", b.commit},
                       {"preset", b.preset},
                       {"toolchain", results::toolchain()}};
  results::Json& operators = out["operators"] = results::Json::array();
  for (const Ladder& l : ladders()) {
    results::Json rungs = results::Json::array();
    for (const auto& r : l.rungs)
      rungs.push_back({{"name", r.name}, {"arithmetic", r.arithmetic}, {"change", r.change}});
    operators.push_back({{"name", l.name}, {"rungs", rungs}});
  }
  return out;
}

void append_line(const std::string& path, const std::string& line) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "ab"), &std::fclose);
  if (!file) throw_invalid(fmt::format("--json {}: cannot be opened: {}", path, std::strerror(errno)));
  if (std::fputs((line + "\n").c_str(), file.get()) < 0 || std::fflush(file.get()) != 0)
    throw Error(ErrorKind::kIo, fmt::format("--json {}: {}", path, std::strerror(errno)));
}

int run_list(const CommonFlags& flags) {
  if (!flags.json.empty()) append_line(flags.json, results::to_line(as_json()));
  const hip::DeviceInfo& d = hip::device_info();
  fmt::print("platform   {}\n", d.platform);
  fmt::print(
      "device     {} ({}), {} compute units, waves of {} lanes, LDS {} KiB a workgroup, memory {:.1f} GiB, last-level "
      "cache {:.0f} MiB\n",
      d.name, d.architecture, d.compute_units, d.wave_size, d.lds_bytes_per_block / 1024,
      static_cast<double>(d.memory_bytes) / (1 << 30), static_cast<double>(d.last_level_cache_bytes) / (1 << 20));
  if (!d.driver.empty()) fmt::print("driver     {}\n", d.driver);
  const verify::Calibration& matrix = verify::matrix_calibration_here();
  fmt::print("matrix     {}: {}\n", verify::calibration_state_name(matrix.state), matrix.text);
  fmt::print("program    {}\n", results::build_line());
  fmt::print("toolchain  {}\n", results::toolchain());
  fmt::print("\n  {:<18} {:<14} {:<22} {}\n", "operator", "rung", "arithmetic id", "the one change");
  for (const Ladder& l : ladders())
    for (const auto& r : l.rungs) fmt::print("  {:<18} {:<14} {:<22} {}\n", l.name, r.name, r.arithmetic, r.change);
  fmt::print("\nRungs with one arithmetic id agree in every bit. Cases of each: greta verify --list\n");
  return kGreen;
}

}  // namespace

void register_list(Command app, CommonFlags& flags) {
  const Command verb = app.subcommand("list", "platform, device, toolchain; operators, rungs, arithmetic ids");
  verb.callback([&flags] { flags.exit_code = run_list(flags); });
}

}  // namespace greta::runners
