#include "runners/isa/lds_banks.hpp"

#include <algorithm>
#include <charconv>
#include <set>
#include <string>

namespace greta::runners::isa {
namespace {

/// A register over the lanes: known up to a number all lanes share (`exact` false), or exactly.
struct Value {
  LaneAddresses lane{};
  bool exact = true;
};
using Known = std::optional<Value>;

Value constant(uint32_t c) {
  Value v;
  v.lane.fill(c);
  return v;
}
Value shared_unknown() {
  Value v;
  v.exact = false;
  return v;
}
bool same_everywhere(const Value& v) {
  return std::all_of(v.lane.begin(), v.lane.end(), [&](uint32_t x) { return x == v.lane[0]; });
}

template <class F>
Known zip(const Known& a, const Known& b, bool exact, F f) {
  if (!a || !b) return std::nullopt;
  Value v;
  for (int i = 0; i < kLanes; ++i)
    v.lane[static_cast<size_t>(i)] = f(a->lane[static_cast<size_t>(i)], b->lane[static_cast<size_t>(i)]);
  v.exact = exact;
  return v;
}
/// a + b and a - b keep what is known.
Known add(const Known& a, const Known& b) {
  return zip(a, b, a && b && a->exact && b->exact, [](uint32_t x, uint32_t y) { return x + y; });
}
Known sub(const Known& a, const Known& b) {
  return zip(a, b, a && b && a->exact && b->exact, [](uint32_t x, uint32_t y) { return x - y; });
}
/// Times a number that is the same in every lane and known.
Known mul(const Known& a, const Known& b) {
  if (!a || !b) return std::nullopt;
  const auto fixed = [](const Value& v) { return v.exact && same_everywhere(v); };
  const bool both = a->exact && b->exact;
  if (!both && !fixed(*a) && !fixed(*b)) {  // unknown number times unknown number, the same in every lane
    if (same_everywhere(*a) && same_everywhere(*b)) return shared_unknown();
    return std::nullopt;
  }
  return zip(a, b, both, [](uint32_t x, uint32_t y) { return x * y; });
}
Known shift_left(const Known& a, const Known& by) {
  if (!by || !by->exact || !same_everywhere(*by)) return std::nullopt;
  return mul(a, Known(constant(1u << (by->lane[0] & 31))));
}
/// Where a shared unknown comes in, "or" stands for "+": compilers write it so when no bits meet.
Known bit_or(const Known& a, const Known& b) {
  if (a && b && a->exact && b->exact) return zip(a, b, true, [](uint32_t x, uint32_t y) { return x | y; });
  return add(a, b);
}
/// Needs every bit; of numbers that all lanes share, it is one such.
template <class F>
Known bits(const Known& a, const Known& b, F f) {
  if (!a || !b) return std::nullopt;
  if (a->exact && b->exact) return zip(a, b, true, f);
  if (same_everywhere(*a) && same_everywhere(*b)) return shared_unknown();
  return std::nullopt;
}

std::vector<std::string> split(const std::string& operands) {
  std::vector<std::string> out;
  std::string word;
  int depth = 0;
  for (const char c : operands) {
    depth += c == '[', depth -= c == ']';
    if ((c == ',' || c == ' ') && depth == 0) {
      if (!word.empty()) out.push_back(word);
      word.clear();
    } else {
      word += c;
    }
  }
  if (!word.empty()) out.push_back(word);
  return out;
}

/// "v12" -> 12; "v[12:13]" -> 12 and the count in `count`; -1 for anything else.
int register_of(const std::string& operand, char kind, int& count) {
  count = 1;
  if (operand.size() < 2 || operand[0] != kind) return -1;
  const bool range = operand[1] == '[';
  const char* p = operand.data() + (range ? 2 : 1);
  const char* const end = operand.data() + operand.size();
  int first = -1;
  const auto [next, error] = std::from_chars(p, end, first);
  if (error != std::errc{}) return -1;
  if (range && next != end && *next == ':') {
    int last = first;
    std::from_chars(next + 1, end, last);
    count = last - first + 1;
  }
  return first;
}

class Machine {
 public:
  explicit Machine(int wave) {
    Value x;
    for (int i = 0; i < kLanes; ++i) x.lane[static_cast<size_t>(i)] = static_cast<uint32_t>(kLanes * wave + i);
    v_[0] = x;  // work-item numbers are packed in v0; y and z are 0 in a one-dimensional workgroup
    for (int i = 0; i < kLanes; ++i) lane_.lane[static_cast<size_t>(i)] = static_cast<uint32_t>(i);
  }

  std::optional<LaneAddresses> address(const std::string& operand) const {
    int count = 0;
    const int reg = register_of(operand, 'v', count);
    if (reg < 0 || count != 1) return std::nullopt;
    const auto found = v_.find(reg);
    if (found == v_.end() || !found->second) return std::nullopt;
    return found->second->lane;
  }

  void step(const Instruction& i) {
    const std::vector<std::string> words = split(i.operands);
    if (words.empty()) return;
    int count = 0;
    const int to_v = register_of(words[0], 'v', count), v_count = count;
    const int to_s = to_v < 0 ? register_of(words[0], 's', count) : -1, s_count = count;
    const Class c = class_of(i);
    if (c == Class::kStore || c == Class::kBranch || (c == Class::kLds && lds_access(i.mnemonic).write)) return;
    if (i.mnemonic.rfind("s_cmp", 0) == 0 || i.mnemonic.rfind("s_wait", 0) == 0) return;
    if (to_s >= 0) {
      const Known value =
          c == Class::kSalu || i.mnemonic.rfind("v_readfirstlane", 0) == 0 ? scalar(i.mnemonic, words) : std::nullopt;
      s_[to_s] = value ? *value : shared_unknown();
      for (int n = 1; n < s_count; ++n) s_[to_s + n] = shared_unknown();
      return;
    }
    if (to_v < 0) return;
    const Known value = c == Class::kValu || c == Class::kAccMove ? vector(i.mnemonic, words) : std::nullopt;
    v_[to_v] = value;
    for (int n = 1; n < v_count; ++n) v_[to_v + n] = std::nullopt;
  }

 private:
  Known operand(const std::string& word) const {
    int count = 0;
    if (const int reg = register_of(word, 'v', count); reg >= 0) {
      const auto found = v_.find(reg);
      return found == v_.end() ? std::nullopt : found->second;
    }
    if (const int reg = register_of(word, 's', count); reg >= 0) {
      const auto found = s_.find(reg);
      return found == s_.end() ? shared_unknown() : found->second;
    }
    if (word == "vcc" || word == "exec" || word == "m0" || word == "vcc_lo" || word == "vcc_hi")
      return shared_unknown();
    int64_t n = 0;
    const bool hex = word.rfind("0x", 0) == 0;
    const char* const begin = word.data() + (hex ? 2 : 0);
    const auto [end, error] = std::from_chars(begin, word.data() + word.size(), n, hex ? 16 : 10);
    if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
    return constant(static_cast<uint32_t>(n));
  }

  Known scalar(const std::string& m, const std::vector<std::string>& w) const {
    const auto at = [&](size_t n) { return n < w.size() ? operand(w[n]) : std::nullopt; };
    const auto is = [&](std::string_view name) { return m.rfind(name, 0) == 0; };
    if (is("v_readfirstlane")) {
      const Known a = at(1);
      if (!a) return std::nullopt;
      return a->exact ? constant(a->lane[0]) : shared_unknown();
    }
    if (is("s_mov_b32") || is("s_movk_i32")) return at(1);
    if (is("s_add_u32") || is("s_add_i32")) return add(at(1), at(2));
    if (is("s_sub_u32") || is("s_sub_i32")) return sub(at(1), at(2));
    if (is("s_lshl_b32")) return shift_left(at(1), at(2));
    if (is("s_mul_i32")) return mul(at(1), at(2));
    if (is("s_and_b32")) return bits(at(1), at(2), [](uint32_t x, uint32_t y) { return x & y; });
    if (is("s_or_b32")) return bit_or(at(1), at(2));
    if (is("s_lshr_b32")) return bits(at(1), at(2), [](uint32_t x, uint32_t y) { return x >> (y & 31); });
    return std::nullopt;
  }

  Known vector(const std::string& m, const std::vector<std::string>& w) const {
    if (m.find("_dpp") != std::string::npos || m.find("_sdwa") != std::string::npos) return std::nullopt;
    const auto at = [&](size_t n) { return n < w.size() ? operand(w[n]) : std::nullopt; };
    const auto is = [&](std::string_view name) { return m.rfind(name, 0) == 0; };
    const auto and_ = [](uint32_t x, uint32_t y) { return x & y; };
    const auto xor_ = [](uint32_t x, uint32_t y) { return x ^ y; };
    const auto shr = [](uint32_t x, uint32_t y) { return y >> (x & 31); };
    const auto low24 = [&](const Known& a) { return a && a->exact ? bits(a, Known(constant(0xffffff)), and_) : a; };
    if (is("v_mov_b32") || is("v_accvgpr_read") || is("v_accvgpr_write") || is("v_mov_b64")) return at(1);
    if (is("v_mbcnt_lo")) {
      Value v = lane_;
      for (uint32_t& x : v.lane) x = std::min(x, 32u);
      return add(Known(v), at(2));
    }
    if (is("v_mbcnt_hi")) {
      Value v = lane_;
      for (uint32_t& x : v.lane) x = x < 32 ? 0 : x - 32;
      return add(Known(v), at(2));
    }
    const size_t carry =
        is("v_add_co_u32") || is("v_addc_co_u32") || is("v_sub_co_u32") || is("v_subrev_co_u32") ? 1 : 0;
    if (is("v_add_u32") || is("v_add_co_u32") || is("v_add_i32")) return add(at(1 + carry), at(2 + carry));
    if (is("v_sub_u32") || is("v_sub_co_u32")) return sub(at(1 + carry), at(2 + carry));
    if (is("v_subrev_u32") || is("v_subrev_co_u32")) return sub(at(2 + carry), at(1 + carry));
    if (is("v_lshlrev_b32") || is("v_lshlrev_b64")) return shift_left(at(2), at(1));
    if (is("v_lshrrev_b32")) return bits(at(1), at(2), shr);
    if (is("v_ashrrev_i32"))
      return bits(at(1), at(2),
                  [](uint32_t x, uint32_t y) { return static_cast<uint32_t>(static_cast<int32_t>(y) >> (x & 31)); });
    if (is("v_and_b32")) return bits(at(1), at(2), and_);
    if (is("v_or_b32")) return bit_or(at(1), at(2));
    if (is("v_xor_b32")) return bits(at(1), at(2), xor_);
    if (is("v_not_b32")) return bits(at(1), Known(constant(~0u)), xor_);
    if (is("v_lshl_add_u32") || is("v_lshl_add_u64")) return add(shift_left(at(1), at(2)), at(3));
    if (is("v_add_lshl_u32")) return shift_left(add(at(1), at(2)), at(3));
    if (is("v_lshl_or_b32")) return bit_or(shift_left(at(1), at(2)), at(3));
    if (is("v_and_or_b32")) return bit_or(bits(at(1), at(2), and_), at(3));
    if (is("v_or3_b32")) return bit_or(bit_or(at(1), at(2)), at(3));
    if (is("v_add3_u32")) return add(add(at(1), at(2)), at(3));
    if (is("v_xad_u32")) return add(bits(at(1), at(2), xor_), at(3));
    if (is("v_mul_u32_u24") || is("v_mul_i32_i24")) return mul(low24(at(1)), low24(at(2)));
    if (is("v_mad_u32_u24") || is("v_mad_i32_i24")) return add(mul(low24(at(1)), low24(at(2))), at(3));
    if (is("v_mul_lo_u32")) return mul(at(1), at(2));
    if (is("v_mad_u64_u32")) return add(mul(at(2), at(3)), at(4));
    if (is("v_bfe_u32"))
      return bits(bits(at(2), at(1), shr), at(3),
                  [](uint32_t x, uint32_t n) { return n >= 32 ? x : x & ((1u << n) - 1); });
    if (is("v_bfi_b32")) {
      const Known chosen = bits(at(1), at(2), and_);
      const Known rest = bits(bits(at(1), Known(constant(~0u)), xor_), at(3), and_);
      return bit_or(chosen, rest);
    }
    return std::nullopt;
  }

  std::map<int, Known> v_;
  std::map<int, Value> s_;
  Value lane_;
};

/// Lanes that are served together.
std::vector<std::vector<int>> groups(int bytes, bool write) {
  std::vector<std::vector<int>> out;
  const int size = bytes <= 4 ? 32 : bytes <= 8 ? 16 : 8;
  if (size == 8 && !write) {
    for (const int half : {0, 32})
      for (const auto& [a, b] : {std::pair{0, 20}, {4, 16}, {8, 28}, {12, 24}}) {
        std::vector<int> lanes;
        for (const int base : {a, b})
          for (int i = 0; i < 4; ++i) lanes.push_back(half + base + i);
        out.push_back(std::move(lanes));
      }
    return out;
  }
  for (int first = 0; first < kLanes; first += size) {
    std::vector<int> lanes;
    for (int i = 0; i < size; ++i) lanes.push_back(first + i);
    out.push_back(std::move(lanes));
  }
  return out;
}

}  // namespace

int lds_clocks(const LaneAddresses& addresses, int bytes, bool write) {
  int clocks = 0;
  for (const std::vector<int>& lanes : groups(bytes, write)) {
    std::array<std::set<uint32_t>, 32> words;
    for (const int lane : lanes)
      for (int b = 0; b < bytes; b += 4) {
        const uint32_t word = (addresses[static_cast<size_t>(lane)] + static_cast<uint32_t>(b)) / 4;
        words[word % 32].insert(word);
      }
    size_t most = 1;
    for (const auto& bank : words) most = std::max(most, bank.size());
    clocks += static_cast<int>(most);
  }
  return clocks;
}

int lds_ideal_clocks(int bytes) { return bytes <= 4 ? 2 : bytes <= 8 ? 4 : 8; }

std::map<size_t, LdsCost> lds_costs(const Kernel& kernel, int wave) {
  std::map<size_t, LdsCost> costs;
  Machine machine(wave);
  for (size_t n = 0; n < kernel.code.size(); ++n) {
    const Instruction& i = kernel.code[n];
    const LdsAccess access = lds_access(i.mnemonic);
    if (access.count) {
      LdsCost cost;
      cost.ideal = cost.clocks = access.count * lds_ideal_clocks(access.bytes);
      const std::vector<std::string> words = split(i.operands);
      // Reads: destination, address; writes: address, data. Lane exchange meets no conflict that depends on layout.
      const size_t at = access.write ? 0 : 1;
      if (!access.exchange && words.size() > at)
        if (const auto addresses = machine.address(words[at])) {
          cost.known = true;
          cost.clocks = access.count * lds_clocks(*addresses, access.bytes, access.write);
        }
      costs[n] = cost;
    }
    machine.step(i);
  }
  return costs;
}

}  // namespace greta::runners::isa
