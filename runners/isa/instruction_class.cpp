#include "runners/isa/instruction_class.hpp"

#include <charconv>

namespace greta::runners::isa {
namespace {

bool starts(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }
bool has(std::string_view text, std::string_view piece) { return text.find(piece) != std::string_view::npos; }

/// "32x32x8" or "4x4x4_16b" after "v_mfma_f32_": M, N, K and blocks.
struct Shape {
  int m = 0, n = 0, k = 0, blocks = 1;
};
Shape shape_of(std::string_view mnemonic) {
  Shape s;
  for (size_t at = 0; at + 2 < mnemonic.size(); ++at) {
    if (mnemonic[at] != '_' || mnemonic[at + 1] < '0' || mnemonic[at + 1] > '9') continue;
    const char* p = mnemonic.data() + at + 1;
    const char* const end = mnemonic.data() + mnemonic.size();
    int* const fields[] = {&s.m, &s.n, &s.k};
    for (int f = 0; f < 3; ++f) {
      const auto [next, error] = std::from_chars(p, end, *fields[f]);
      if (error != std::errc{}) break;
      p = next;
      if (f < 2 && (p == end || *p++ != 'x')) break;
    }
    if (s.k) break;
    s = {};
  }
  if (s.m == 4) s.blocks = 16;
  for (const auto& [mark, blocks] : {std::pair{"_2b_", 2}, std::pair{"_4b_", 4}, std::pair{"_16b_", 16}})
    if (has(mnemonic, mark)) s.blocks = blocks;
  return s;
}

/// Multiply-adds a pass: an MI300X compute unit does 1024 f16 ones in a clock, that is 1024 a SIMD in a pass.
double rate(std::string_view mnemonic) {
  const Shape s = shape_of(mnemonic);
  const double half = s.m == 4 ? 0.5 : 1.0;
  if (has(mnemonic, "i8") || has(mnemonic, "fp8") || has(mnemonic, "bf8")) return 2048 * half;
  if (has(mnemonic, "f16")) return 1024 * half;
  if (has(mnemonic, "xf32")) return 512 * half;
  return 128 * half;  // f32, f64
}

}  // namespace

std::string_view class_name(Class c) {
  constexpr std::array<std::string_view, kClasses> names = {"mfma", "valu",   "accvgpr", "salu",    "smem",
                                                            "lds",  "load",   "store",   "atomic",  "scratch",
                                                            "flat", "branch", "barrier", "waitcnt", "other"};
  return names[static_cast<size_t>(c)];
}

Class class_of(const Instruction& i) {
  const std::string_view m = i.mnemonic;
  if (starts(m, "v_mfma") || starts(m, "v_smfmac")) return Class::kMfma;
  if (starts(m, "v_accvgpr")) return Class::kAccMove;
  if (starts(m, "v_")) return Class::kValu;
  if (starts(m, "ds_")) return Class::kLds;
  if (starts(m, "scratch_")) return Class::kScratch;
  const bool global = starts(m, "global_"), buffer = starts(m, "buffer_"), flat = starts(m, "flat_");
  if (flat) return Class::kFlat;
  if (global || buffer) {
    // A buffer access with the stack's descriptor would need "offen" off s[0:3]: gfx942 code uses scratch_* instead.
    if (has(m, "_atomic_")) return Class::kAtomic;
    if (has(m, "_load_")) return Class::kLoad;
    if (has(m, "_store_")) return Class::kStore;
    return Class::kOther;  // cache control
  }
  if (starts(m, "s_waitcnt")) return Class::kWait;
  if (starts(m, "s_barrier")) return Class::kBarrier;
  if (starts(m, "s_cbranch") || starts(m, "s_branch") || starts(m, "s_setpc") || starts(m, "s_swappc"))
    return Class::kBranch;
  if (starts(m, "s_load") || starts(m, "s_buffer_load") || starts(m, "s_store") || starts(m, "s_dcache"))
    return Class::kSmem;
  if (starts(m, "s_nop") || starts(m, "s_endpgm") || starts(m, "s_sleep") || starts(m, "s_setprio") ||
      starts(m, "s_sethalt"))
    return Class::kOther;
  if (starts(m, "s_")) return Class::kSalu;
  return Class::kOther;
}

int passes_of(const Instruction& i) {
  const std::string_view m = i.mnemonic;
  switch (class_of(i)) {
    case Class::kMfma: {
      const Shape s = shape_of(m);
      const double macs = static_cast<double>(s.m) * s.n * s.k * s.blocks * (starts(m, "v_smfmac") ? 0.5 : 1.0);
      const int passes = static_cast<int>(macs / rate(m) + 0.5);
      return passes < 2 ? 2 : passes;
    }
    case Class::kAccMove:
      return 1;
    case Class::kValu:
      for (const std::string_view slow : {"v_exp_", "v_log_", "v_rcp_", "v_rsq_", "v_sqrt_", "v_sin_", "v_cos_",
                                          "v_mul_lo_", "v_mul_hi_", "v_mad_u64_u32", "v_mad_i64_i32"})
        if (starts(m, slow) && !starts(m, "v_mul_hi_u32_u24") && !starts(m, "v_mul_hi_i32_i24")) return 4;
      return 1;
    default:
      return 0;
  }
}

double mfma_flop(std::string_view mnemonic) {
  const Shape s = shape_of(mnemonic);
  return 2.0 * s.m * s.n * s.k * s.blocks;
}

int vmem_bytes(std::string_view m) {
  if (!has(m, "_load_") && !has(m, "_store_")) return 0;
  if (!starts(m, "global_") && !starts(m, "buffer_") && !starts(m, "flat_") && !starts(m, "scratch_")) return 0;
  if (has(m, "dwordx4")) return 16;
  if (has(m, "dwordx3")) return 12;
  if (has(m, "dwordx2")) return 8;
  if (has(m, "dword")) return 4;
  if (has(m, "short")) return 2;
  if (has(m, "byte")) return 1;
  return 4;
}

LdsAccess lds_access(std::string_view m) {
  LdsAccess a;
  if (!starts(m, "ds_")) return a;
  a.write = starts(m, "ds_write");
  if (starts(m, "ds_bpermute") || starts(m, "ds_permute") || starts(m, "ds_swizzle")) return {1, 4, false, true};
  if (!a.write && !starts(m, "ds_read") && !has(m, "_rtn_") && !starts(m, "ds_add") && !starts(m, "ds_max") &&
      !starts(m, "ds_min") && !starts(m, "ds_or"))
    return {};
  a.count = starts(m, "ds_read2") || starts(m, "ds_write2") ? 2 : 1;
  a.bytes = 4;
  if (has(m, "_b128")) a.bytes = 16;
  if (has(m, "_b96")) a.bytes = 12;
  if (has(m, "_b64") || has(m, "_u64") || has(m, "_f64")) a.bytes = 8;
  if (has(m, "_b16") || has(m, "_u16") || has(m, "_i16")) a.bytes = 2;
  if (has(m, "_b8") || has(m, "_u8") || has(m, "_i8")) a.bytes = 1;
  return a;
}

bool is_f64(std::string_view m) { return starts(m, "v_") && has(m, "_f64"); }

bool is_lds_dma(const Instruction& i) {
  return vmem_bytes(i.mnemonic) && (has(i.mnemonic, "_lds_") || has(i.operands, " lds"));
}

}  // namespace greta::runners::isa
