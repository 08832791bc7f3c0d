// The static gate on itself: its readers on small texts, its model of LDS banks, its rules, and seeded regressions in
// real gfx942 code, each of which must be found by the rule that is there for it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "kernels/hip/error.hpp"
#include "runners/isa/export_draws.hpp"
#include "runners/isa/gate.hpp"

namespace greta::runners::isa {
namespace {

// ------------------------------------------------------------------------------------------------------------- readers

constexpr const char* kNotes = R"(Displaying notes found in: .note
    AMDGPU Metadata:
        ---
amdhsa.kernels:
  - .agpr_count:     4
    .args:
      - .offset:         0
        .size:           8
        .value_kind:     global_buffer
    .group_segment_fixed_size: 1024
    .max_flat_workgroup_size: 256
    .name:           _Z4loopPf
    .private_segment_fixed_size: 0
    .sgpr_count:     20
    .sgpr_spill_count: 0
    .uses_dynamic_stack: false
    .vgpr_count:     32
    .vgpr_spill_count: 0
amdhsa.target:   amdgcn-amd-amdhsa--gfx942
...
)";
constexpr const char* kCode = R"(
0000000000001000 <_Z4loopPf>:
	s_load_dwordx2 s[0:1], s[0:1], 0x0                         // 000000001000: C0060000 00000000
	global_load_dwordx4 v[4:7], v1, s[0:1]                     // 000000001008: DC5C8000 04000001
	v_mfma_f32_16x16x16_f16 v[0:3], v[8:9], v[8:9], v[0:3]     // 000000001010: D3CD0000 04021108
	s_waitcnt vmcnt(0)                                         // 000000001018: BF8C0F70
	ds_write_b128 v2, v[4:7]                                   // 00000000101C: D9BE0000 00000402
	s_cbranch_scc1 65528                                       // 000000001024: BF85FFF8 <_Z4loopPf+0x8>
	s_endpgm                                                   // 000000001028: BF810000
	s_nop 0                                                    // 00000000102C: BF800000
)";

TEST(IsaReader, FindsKernelsInstructionsAndBranches) {
  const auto kernels = kernels_from(kNotes, kCode, "test.co");
  ASSERT_EQ(kernels.size(), 1u);
  EXPECT_EQ(kernels[0].name, "loop");
  EXPECT_EQ(kernels[0].resources.vgprs, 32);
  EXPECT_EQ(kernels[0].resources.lds_bytes, 1024);
  ASSERT_EQ(kernels[0].code.size(), 7u);  // the padding is gone
  EXPECT_EQ(kernels[0].code[5].target, 0x1008u);
  EXPECT_EQ(kernels[0].code[1].bytes, 8u);
  const Region region = hot_region(kernels[0]);
  EXPECT_TRUE(region.loop);
  EXPECT_FALSE(region.inside[0]);
  EXPECT_TRUE(region.inside[1]);
  EXPECT_EQ(region.path.size(), 5u);
  const Waiting waiting = walk(kernels[0], region);
  ASSERT_FALSE(waiting.passes.empty());
  EXPECT_EQ(waiting.passes[0], 4);  // one MFMA of four passes between load and wait
}

TEST(IsaReader, RefusesMetadataWithoutAField) {
  std::string notes = kNotes;
  notes.erase(notes.find("    .vgpr_count"), 25);
  EXPECT_THROW(kernels_from(notes, kCode, "test.co"), Error);
  EXPECT_THROW(kernels_from(kNotes, "", "test.co"), Error);
  EXPECT_THROW(kernels_from("", kCode, "test.co"), Error);
}

Instruction instruction(const char* mnemonic) {
  Instruction i;
  i.mnemonic = mnemonic;
  return i;
}

TEST(IsaClasses, PassesAndBytes) {
  EXPECT_EQ(passes_of(instruction("v_mfma_f32_16x16x16_f16")), 4);
  EXPECT_EQ(passes_of(instruction("v_mfma_f32_16x16x16_bf16")), 4);
  EXPECT_EQ(passes_of(instruction("v_mfma_f32_32x32x8_f16")), 8);
  EXPECT_EQ(passes_of(instruction("v_mfma_i32_16x16x32_i8")), 4);
  EXPECT_EQ(passes_of(instruction("v_mfma_i32_32x32x16_i8")), 8);
  EXPECT_EQ(passes_of(instruction("v_mfma_f32_4x4x4_16b_f16")), 2);
  EXPECT_EQ(passes_of(instruction("v_exp_f32_e32")), 4);
  EXPECT_EQ(passes_of(instruction("v_mul_lo_u32")), 4);
  EXPECT_EQ(passes_of(instruction("v_mul_u32_u24_e32")), 1);
  EXPECT_EQ(passes_of(instruction("v_pk_fma_f32")), 1);
  EXPECT_EQ(mfma_flop("v_mfma_f32_32x32x8_f16"), 2.0 * 32 * 32 * 8);
  EXPECT_EQ(vmem_bytes("global_load_dwordx4"), 16);
  EXPECT_EQ(vmem_bytes("buffer_load_ushort"), 2);
  EXPECT_EQ(lds_access("ds_read2_b64").total(), 16);
  EXPECT_TRUE(lds_access("ds_bpermute_b32").exchange);
  EXPECT_EQ(waves_by_registers(64), 8);
  EXPECT_EQ(waves_by_registers(65), 7);
  EXPECT_EQ(waves_by_registers(256), 2);
  EXPECT_EQ(waves_by_registers(257), 1);
}

// --------------------------------------------------------------------------------------------------------- LDS banks

/// Rows of `stride` bytes read as operands of 16x16x16 tiles: lane % 16 is the row, lane / 16 the bytes of it.
LaneAddresses operand(int stride, int bytes) {
  LaneAddresses a;
  for (int lane = 0; lane < kLanes; ++lane)
    a[static_cast<size_t>(lane)] = static_cast<uint32_t>(lane % 16 * stride + lane / 16 * bytes);
  return a;
}

TEST(IsaBanks, RowsOf128HalfsAreServedOneByOne) {
  EXPECT_EQ(lds_clocks(operand(256, 8), 8, false), 16 * lds_ideal_clocks(8));
  EXPECT_EQ(lds_clocks(operand(256 + 8, 8), 8, false), lds_ideal_clocks(8));  // 4 halfs of padding
  EXPECT_EQ(lds_clocks(operand(256, 16), 16, false), 4 * lds_ideal_clocks(16));
  EXPECT_EQ(lds_clocks(operand(256 + 32, 16), 16, false), lds_ideal_clocks(16));  // 16 halfs of padding
  EXPECT_EQ(lds_clocks(LaneAddresses{}, 4, false), 2);                            // one word for everybody
}

TEST(IsaBanks, AddressesAreReadFromTheCode) {
  Kernel k;
  const auto add = [&](const char* mnemonic, const char* operands) {
    Instruction i = instruction(mnemonic);
    i.operands = operands;
    k.code.push_back(i);
  };
  add("v_and_b32_e32", "v1, 15, v0");
  add("v_lshlrev_b32_e32", "v1, 8, v1");        // row * 256
  add("v_bfe_u32", "v2, v0, 4, 2");             // lane / 16
  add("v_lshl_add_u32", "v1, v2, 3, v1");       // + 8 bytes
  add("v_add_u32_e32", "v1, s7, v1");           // and a number all lanes share
  add("ds_read_b64", "v[4:5], v1 offset:64");   // 5
  add("global_load_dword", "v1, v[8:9], off");  // and now nobody knows
  add("ds_read_b64", "v[4:5], v1");             // 7
  const auto costs = lds_costs(k, 0);
  EXPECT_TRUE(costs.at(5).known);
  EXPECT_EQ(costs.at(5).clocks, 64);
  EXPECT_FALSE(costs.at(7).known);
  EXPECT_EQ(costs.at(7).clocks, 4);
}

// ------------------------------------------------------------------------------------------------------------- rules

TEST(IsaRules, DriftForTheWorseIsRed) {
  const Figures before = {{"load_to_wait", 100}, {"vgpr_spills", 0}, {"waves_per_simd", 4}, {"valu_per_mfma", 0.5}};
  EXPECT_TRUE(drift(before, before).empty());
  EXPECT_TRUE(
      drift({{"load_to_wait", 96}, {"vgpr_spills", 0}, {"waves_per_simd", 4}, {"valu_per_mfma", 0.4}}, before).empty());
  for (const Figures& worse :
       {Figures{{"load_to_wait", 90}}, Figures{{"vgpr_spills", 1}}, Figures{{"waves_per_simd", 3}},
        Figures{{"valu_per_mfma", 0.53}}, Figures{{"valu_per_mfma", std::nan("")}}}) {
    Figures now = before;
    for (const auto& [name, value] : worse) now[name] = value;
    ASSERT_EQ(drift(now, before).size(), 1u) << worse.begin()->first;
    EXPECT_NE(drift(now, before)[0].find(worse.begin()->first), std::string::npos);
  }
  Figures gone = before;
  gone.erase("load_to_wait");
  EXPECT_EQ(drift(gone, before).size(), 1u);
}

TEST(IsaRules, AMissingFigureIsRedAndAWaiverHasALimit) {
  Report report;
  report.figures = {{"divisions", 0},   {"waves_per_simd", 8}, {"flight_bytes", 20000},
                    {"valu_share", 70}, {"wide_share", 100},   {"narrow_loads", 0}};
  const Row plain{"o", ".*", Kind::kBandwidth, {.threads = 256}};
  const Judgement j = judge(plain, report, nullptr);
  ASSERT_EQ(j.red.size(), 2u);
  EXPECT_NE(j.red[0].find("valu_share 70"), std::string::npos);
  EXPECT_NE(j.red[1].find("divergent_branches is missing"), std::string::npos);
  report.figures["divergent_branches"] = 0;
  EXPECT_TRUE(judge({"o", ".*", Kind::kBandwidth, {.threads = 256}, "", {{"valu_share", 75, "why"}}}, report, nullptr)
                  .red.empty());
  EXPECT_EQ(judge({"o", ".*", Kind::kBandwidth, {.threads = 256}, "", {{"valu_share", 65, "why"}}}, report, nullptr)
                .red.size(),
            1u);
  report.figures["valu_share"] = std::nan("");
  EXPECT_EQ(judge(plain, report, nullptr).red.size(), 1u);
}

TEST(IsaRules, EveryRowOfTheManifestWithoutAClassSaysWhy) {
  for (const Row& row : manifest()) {
    EXPECT_TRUE(row.kind != Kind::kHardOnly || std::string(row.reason) != "") << row.object << " " << row.kernel;
    EXPECT_GT(row.declared.threads, 0) << row.object << " " << row.kernel;
    for (const Waiver& w : row.waivers) EXPECT_NE(std::string(w.why), "") << row.object << " " << w.figure;
  }
}

TEST(IsaRules, BaselineIsReadBack) {
  const std::string path = testing::TempDir() + "/greta_isa_baseline.json";
  const Baseline written{
      "clang \"19\"", "because", {{"a/b kernel<1>", {{"vgpr", 32}, {"valu_share", 12.5}}}, {"c", {}}}};
  write_baseline(path, written);
  const Baseline read = read_baseline(path);
  EXPECT_EQ(read.compiler, written.compiler);
  EXPECT_EQ(read.reason, written.reason);
  EXPECT_EQ(read.kernels, written.kernels);
  std::ofstream(path) << "{\"compiler\": 3}";
  EXPECT_THROW(read_baseline(path), Error);
}

// ------------------------------------------------------------------------------------------------------------- export

TEST(IsaExport, TemplatesOfProblemsAreExpandedWithASeed) {
  const auto lines = expand("n={1,2} t={f16,bf16} w=4*3..5 k=n+1..3 c=7|9", 1);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines, expand("n={1,2} t={f16,bf16} w=4*3..5 k=n+1..3 c=7|9", 1));
  EXPECT_NE(lines[0].find("t=f16"), std::string::npos);
  EXPECT_NE(lines[1].find("t=bf16"), std::string::npos);
  EXPECT_THROW(expand("n=5..x", 1), Error);
  EXPECT_THROW(expand("n=9..5", 1), Error);
  EXPECT_THROW(expand("n=m+1..5", 1), Error);
}

// --------------------------------------------------------------------------------------- seeded regressions in real
// code

/// The rows under which the seeds are judged: as the kernels they imitate.
const Row kSeedRows[] = {
    {"matrix_loop", ".*", Kind::kMatrix, {.threads = 512}},
    {"streams", "many_sums<.*>|register_index", Kind::kHardOnly, {.threads = 256}, "for its registers"},
    {"streams", ".*", Kind::kBandwidth, {.threads = 256}},
};

class IsaSeeds : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = read_toolchain().missing; !missing.empty()) GTEST_SKIP() << missing;
    if (judged().empty()) {
      const Toolchain tools = build_objects("gfx942_defects");
      for (const char* name : {"matrix_loop", "streams"})
        objects().push_back(read_code_object(tools, name, fmt::format("{}/defects/{}.co", tools.folder, name)));
      judged() = judge_objects(tools, objects(), kSeedRows, nullptr);
    }
  }
  static std::vector<CodeObject>& objects() {
    static std::vector<CodeObject> all;
    return all;
  }
  static std::vector<Judged>& judged() {
    static std::vector<Judged> all;
    return all;
  }
  static std::string red_of(const std::string& kernel) {
    for (const Judged& j : judged())
      if (j.kernel->name == kernel) return fmt::format("{}", fmt::join(j.judgement.red, "\n"));
    return "no such kernel";
  }
};

TEST_F(IsaSeeds, SoundTwinsAreGreen) {
  EXPECT_EQ(red_of("loop<4, true>"), "");
  EXPECT_EQ(red_of("sound"), "");
  EXPECT_EQ(red_of("many_sums<2>"), "");
}
TEST_F(IsaSeeds, Spill) { EXPECT_NE(red_of("many_sums<8>").find("hard rule: vgpr_spills"), std::string::npos); }
TEST_F(IsaSeeds, RegisterIndexIntoScratch) {
  EXPECT_NE(red_of("register_index").find("hard rule: scratch_in_loop"), std::string::npos);
}
TEST_F(IsaSeeds, SunkPrefetch) {
  EXPECT_EQ(red_of("loop<4, false>").find("class M: load_to_wait"), 0u) << red_of("loop<4, false>");
}
TEST_F(IsaSeeds, UnpaddedLds) {
  EXPECT_EQ(red_of("loop<0, true>").find("class M: lds_per_mfma"), 0u) << red_of("loop<0, true>");
}
TEST_F(IsaSeeds, ExpOfTheMathLibrary) {
  EXPECT_NE(red_of("libm_exp").find("hard rule: libm_in_loop"), std::string::npos);
}
TEST_F(IsaSeeds, DoubleArithmetic) {
  EXPECT_NE(red_of("double_literal").find("hard rule: f64_in_loop"), std::string::npos);
}
TEST_F(IsaSeeds, Division) { EXPECT_NE(red_of("division").find("hard rule: divisions"), std::string::npos); }
TEST_F(IsaSeeds, NarrowLoads) { EXPECT_NE(red_of("narrow").find("class B: narrow_loads"), std::string::npos); }

TEST_F(IsaSeeds, AKernelWithoutARowAndARowWithoutAKernelAreRed) {
  const Row rows[] = {{"streams", ".*", Kind::kBandwidth, {.threads = 256}},
                      {"nothing", ".*", Kind::kBandwidth, {.threads = 256}}};
  const auto found = judge_objects(read_toolchain(), objects(), rows, nullptr);
  int without = 0;
  for (const Judged& j : found)
    if (!j.row) {
      ++without;
      EXPECT_FALSE(j.judgement.red.empty());
    }
  EXPECT_EQ(without, 3);
  EXPECT_EQ(idle_entries(found, rows, nullptr).size(), 1u);
}

TEST_F(IsaSeeds, ARegressionAgainstTheBaselineIsRed) {
  Baseline baseline{"", "", {}};
  for (const Judged& j : judged()) baseline.kernels[j.key()] = j.report.figures;
  for (const Judged& j : judge_objects(read_toolchain(), objects(), kSeedRows, &baseline))
    for (const std::string& line : j.judgement.red) EXPECT_NE(line.find("drift"), 0u) << line;
  baseline.kernels.at("streams sound")["valu_share"] /= 2;
  baseline.kernels.erase("streams narrow");
  int drifted = 0;
  for (const Judged& j : judge_objects(read_toolchain(), objects(), kSeedRows, &baseline))
    for (const std::string& line : j.judgement.red) drifted += line.find("drift") == 0;
  EXPECT_EQ(drifted, 2);
}

}  // namespace
}  // namespace greta::runners::isa
