#include "runners/isa/figures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <set>

namespace greta::runners::isa {
namespace {

constexpr int kWaves = 32;            // a CU holds, at 8 a SIMD
constexpr int64_t kLdsBytes = 65536;  // of a CU
constexpr int64_t kLdsStep = 512;
constexpr double kL1BytesPerClock = 64;  // of a CU
constexpr double kBusy = 6.58;       // 4.2 TB/s over what 1216 SIMDs at 2.1 GHz issue: passes a byte that fill the time
constexpr double kMcaLatency = 200;  // passes of a load from HBM; llvm-mca knows a fixed, shorter one

constexpr FigureInfo kTable[] = {
    {"vgpr", Worse::kNeither, "vector registers, AGPRs included; occupancy says what they cost"},
    {"agpr", Worse::kNeither, "of them accumulation registers"},
    {"sgpr", Worse::kNeither, "scalar registers"},
    {"vgpr_spills", Worse::kHigher, "vector registers spilled"},
    {"sgpr_spills", Worse::kHigher, "scalar registers spilled (to vector registers)"},
    {"scratch_bytes", Worse::kHigher, "private segment of a lane"},
    {"lds_bytes", Worse::kNeither, "static and largest dynamic LDS of a workgroup"},
    {"dynamic_stack", Worse::kHigher, "1: calls need a stack whose size is unknown"},
    {"waves_per_simd", Worse::kLower, "by registers, LDS and workgroup size"},
    {"code_bytes", Worse::kNeither, "of the hot loop, or of a kernel without one"},
    {"mfma_passes", Worse::kNeither, "of one iteration"},
    {"valu_passes", Worse::kNeither, "of one iteration"},
    {"valu_per_mfma", Worse::kHigher, "vector passes beside the matrix passes"},
    {"accvgpr", Worse::kHigher, "copies between the two halves of the register file"},
    {"lds_per_mfma", Worse::kHigher, "LDS time, bank conflicts included where the addresses are known"},
    {"lds_conflicts", Worse::kHigher, "LDS clocks over those without conflicts"},
    {"lds_known", Worse::kNeither, "share of LDS instructions whose addresses are known"},
    {"flop_per_lds_byte", Worse::kLower, "of MFMA"},
    {"passes_per_barrier", Worse::kLower, "MFMA passes"},
    {"load_to_wait", Worse::kLower, "passes between a load and the wait for it; smallest, or median with re-reads"},
    {"flight_bytes", Worse::kLower, "loads of a CU in flight"},
    {"hbm_bytes", Worse::kNeither, "of a wave and iteration"},
    {"valu_share", Worse::kHigher, "vector time over the time its bytes take at 4.2 TB/s, in percent"},
    {"wide_share", Worse::kLower, "percent of bytes loaded 16 a lane"},
    {"narrow_loads", Worse::kHigher, "byte and short loads"},
    {"divergent_branches", Worse::kHigher, "forward branches on the execution mask"},
    {"divisions", Worse::kHigher, "IEEE divisions in the hot loop, ten instructions each"},
    {"mca_cycles", Worse::kHigher, "of llvm-mca, one iteration"},
    {"xdl_share", Worse::kLower, "MFMA share of them"},
    {"waves_x_xdl", Worse::kLower, "times waves a SIMD: 1 fills the matrix unit"},
    {"predicted_mfma_share", Worse::kNeither, "of the composite, see docs/isa.md"},
    {"predicted_tflops", Worse::kNeither, "ceiling at 700 TFLOP/s for f16, twice that for int8"},
};

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

void hard_rules(const Kernel& k, const Region& region, const Figures& f, std::vector<std::string>& forbidden) {
  const bool loop = region.loop;
  const auto at_most = [&](const char* name, double limit, const char* what) {
    if (f.at(name) > limit) forbidden.push_back(fmt::format("{}: {} {}, at most {}", name, f.at(name), what, limit));
  };
  at_most("vgpr_spills", 2, "vector registers spilled");
  at_most("scratch_bytes", 16, "bytes of scratch a lane");
  at_most("dynamic_stack", 0, "(calls need a stack of unknown size)");
  at_most("lds_bytes", static_cast<double>(kLdsBytes), "bytes of LDS");
  if (loop)
    at_most("code_bytes", 32768, "bytes of code in the hot loop, the instruction cache holds 64 KiB for two CUs");

  std::map<std::string, int> seen;
  for (size_t i = 0; i < k.code.size(); ++i) {
    const Instruction& at = k.code[i];
    const bool inside = region.inside[i];
    if (at.mnemonic.rfind("s_swappc", 0) == 0) ++seen["call (s_swappc_b64)"];
    if (!inside) continue;
    if (class_of(at) == Class::kScratch) ++seen["scratch_in_loop: " + at.mnemonic];
    if (class_of(at) == Class::kFlat) ++seen["flat_in_loop: " + at.mnemonic];
    if (is_f64(at.mnemonic)) ++seen["f64_in_loop: " + at.mnemonic];
    if (!loop) continue;
    // exp and exp2 of the math library: argument reduction ends in v_ldexp. Portable exp2 puts the exponent in with
    // integer arithmetic, the hardware's needs nothing.
    if (at.mnemonic.rfind("v_ldexp_f32", 0) == 0) ++seen["libm_in_loop: " + at.mnemonic];
  }
  for (const auto& [what, count] : seen)
    forbidden.push_back(fmt::format("{}{}", what, count > 1 ? fmt::format(" ({} times)", count) : ""));
}

}  // namespace

std::span<const FigureInfo> figure_table() { return kTable; }

int waves_by_registers(int64_t vgprs) {
  const int64_t blocks = std::max<int64_t>(8, (vgprs + 7) / 8 * 8);
  return static_cast<int>(std::min<int64_t>(8, 512 / blocks));
}

Waiting walk(const Kernel& k, const Region& region) {
  struct Pending {
    int iteration;
    int bytes;  ///< of a load, 0 for everything else that is counted
    double issued;
  };
  int widest = 0;  // loads of scales and the like are not what the loop lives on
  for (const size_t index : region.path)
    if (class_of(k.code[index]) == Class::kLoad) widest = std::max(widest, vmem_bytes(k.code[index].mnemonic));
  Waiting waiting;
  std::deque<Pending> queue;
  double passes = 0;
  int64_t bytes = 0;
  const int rounds = region.loop ? 3 : 1;
  for (int round = 0; round < rounds; ++round)
    for (const size_t index : region.path) {
      const Instruction& i = k.code[index];
      const Class c = class_of(i);
      passes += passes_of(i);
      if (c == Class::kLoad || c == Class::kStore || c == Class::kAtomic || c == Class::kScratch || c == Class::kFlat) {
        queue.push_back({round, c == Class::kLoad ? vmem_bytes(i.mnemonic) : 0, passes});
        bytes += queue.back().bytes;
        waiting.most_bytes = std::max(waiting.most_bytes, bytes);
      }
      const size_t at = c == Class::kWait ? i.operands.find("vmcnt(") : std::string::npos;
      if (c == Class::kWait && at == std::string::npos && i.operands.find("cnt(") != std::string::npos) continue;
      if (c != Class::kWait) continue;
      const size_t left = at == std::string::npos ? 0 : static_cast<size_t>(std::stoi(i.operands.substr(at + 6)));
      while (queue.size() > left) {
        const Pending done = queue.front();
        queue.pop_front();
        bytes -= done.bytes;
        // The first round starts with an empty queue: what it waits for is not yet what the loop waits for.
        if (done.bytes > 0 && done.bytes == widest && (rounds == 1 || round > 0))
          waiting.passes.push_back(passes - done.issued);
      }
    }
  return waiting;
}

Report measure(const Toolchain& tools, const Kernel& k, const Declared& declared) {
  Report report;
  Figures& f = report.figures;
  const Resources& r = k.resources;
  f["vgpr"] = static_cast<double>(r.vgprs), f["agpr"] = static_cast<double>(r.agprs);
  f["sgpr"] = static_cast<double>(r.sgprs);
  f["vgpr_spills"] = static_cast<double>(r.vgpr_spills), f["sgpr_spills"] = static_cast<double>(r.sgpr_spills);
  f["scratch_bytes"] = static_cast<double>(r.scratch_bytes), f["dynamic_stack"] = r.dynamic_stack;
  const int64_t lds = r.lds_bytes + declared.dynamic_lds;
  f["lds_bytes"] = static_cast<double>(lds);

  const int waves_of_group = (declared.threads + kLanes - 1) / kLanes;
  const int64_t by_registers = waves_by_registers(r.vgprs) * 4 / waves_of_group;
  const int64_t lds_blocks = (lds + kLdsStep - 1) / kLdsStep * kLdsStep;
  const int64_t by_lds = lds_blocks ? kLdsBytes / lds_blocks : kWaves;
  const int64_t groups = std::min({by_registers, by_lds, static_cast<int64_t>(kWaves / waves_of_group)});
  const double waves = static_cast<double>(groups * waves_of_group) / 4.0;
  f["waves_per_simd"] = waves;

  const Region region = hot_region(k, declared.whole_body);
  report.loop = region.loop;
  f["code_bytes"] = region.code_bytes;
  hard_rules(k, region, f, report.forbidden);

  double mfma = 0, valu = 0, flop = 0, acc_moves = 0, barriers = 0, load_bytes = 0, wide = 0, store_bytes = 0,
         narrow = 0;
  int lds_ops = 0, lds_known = 0;
  double lds_clocks = 0, lds_ideal = 0, lds_bytes = 0;
  std::map<size_t, LdsCost> costs = lds_costs(k, 0);
  if (waves_of_group > 1)
    for (const auto& [index, cost] : lds_costs(k, 1)) costs[index].clocks = std::max(costs[index].clocks, cost.clocks);
  for (const size_t index : region.path) {
    const Instruction& i = k.code[index];
    const Class c = class_of(i);
    const int bytes = vmem_bytes(i.mnemonic);
    if (c == Class::kMfma) mfma += passes_of(i), flop += mfma_flop(i.mnemonic);
    if (c == Class::kValu || c == Class::kAccMove) valu += passes_of(i);
    if (c == Class::kAccMove) ++acc_moves;
    if (c == Class::kBarrier) ++barriers;
    if (c == Class::kStore) store_bytes += bytes;
    if (c == Class::kLoad) {
      load_bytes += bytes;
      if (bytes == 16 || is_lds_dma(i)) wide += bytes;
      if (bytes < 4) ++narrow;
    }
    if (const auto cost = costs.find(index); cost != costs.end()) {
      const LdsAccess access = lds_access(i.mnemonic);
      lds_bytes += access.exchange ? 0 : access.total() * kLanes;
      lds_clocks += cost->second.clocks, lds_ideal += cost->second.ideal;
      if (!access.exchange) ++lds_ops, lds_known += cost->second.known;
    }
  }
  f["mfma_passes"] = mfma, f["valu_passes"] = valu;
  if (lds_ops) f["lds_known"] = static_cast<double>(lds_known) / lds_ops, f["lds_conflicts"] = lds_clocks / lds_ideal;

  const Waiting waiting = walk(k, region);
  if (region.loop && !waiting.passes.empty())
    f["load_to_wait"] =
        declared.rereads ? median(waiting.passes) : *std::min_element(waiting.passes.begin(), waiting.passes.end());
  if (waiting.most_bytes) f["flight_bytes"] = static_cast<double>(waiting.most_bytes) * kLanes * waves * 4;

  // One LDS of 128 bytes a clock for four SIMDs: in passes of one wave, clocks x 4 SIMDs / 4.
  const double lds_passes = lds_clocks;
  if (mfma > 0) {
    f["valu_per_mfma"] = valu / mfma, f["accvgpr"] = acc_moves;
    f["lds_per_mfma"] = lds_passes / mfma;
    if (lds_bytes > 0) f["flop_per_lds_byte"] = flop / lds_bytes;
    if (barriers > 0) f["passes_per_barrier"] = mfma / barriers;
    const Mca mca = run_mca(tools, k, region);
    if (mca.cycles > 0) {
      f["mca_cycles"] = mca.cycles, f["xdl_share"] = mca.xdl / mca.cycles;
      f["waves_x_xdl"] = waves * mca.xdl / mca.cycles;
      const double l1_passes = load_bytes * kLanes / kL1BytesPerClock;
      const double wait = f.count("load_to_wait") ? std::max(0.0, kMcaLatency - f["load_to_wait"]) : 0;
      const double time =
          std::max({waves * mfma, waves * valu, waves * lds_passes, waves * l1_passes, mca.cycles + wait});
      f["predicted_mfma_share"] = waves * mfma / time;
      const double peak = 700.0 * (flop / mfma) / 2048;  // 16x16x16 f16: 2048 flop a pass
      f["predicted_tflops"] = f["predicted_mfma_share"] * peak;
    } else {
      report.mca_note = mca.error;
    }
  }
  const double bytes = declared.hbm_bytes > 0 ? declared.hbm_bytes : (load_bytes + store_bytes) * kLanes;
  if (bytes > 0 && mfma == 0) {
    f["hbm_bytes"] = bytes;
    f["valu_share"] = 100 * kBusy * valu / bytes;
  }
  if (load_bytes > 0) f["wide_share"] = 100 * wide / load_bytes;
  double divisions = 0;  // two v_div_scale each; anywhere in the loop, a tail's too
  for (size_t i = 0; region.loop && i < k.code.size(); ++i)
    divisions += !region.inside[i] ? 0 : k.code[i].mnemonic.rfind("v_div_scale", 0) == 0 ? 0.5 : 0.0;
  f["divisions"] = divisions;
  f["narrow_loads"] = narrow;
  f["divergent_branches"] = region.loop ? region.divergent_branches : 0;
  return report;
}

}  // namespace greta::runners::isa
