#include "runners/isa/region.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

#include "runners/isa/flow.hpp"

namespace greta::runners::isa {
namespace {

/// Wide loads count by the square of their width, so that eight loads of two bytes are no match for one of sixteen.
int load_weight(const Instruction& i) {
  const int bytes = class_of(i) == Class::kLoad ? vmem_bytes(i.mnemonic) : 0;
  return bytes * bytes;
}

struct Weight {
  int mfma_passes = 0, loads = 0, instructions = 0;
  bool operator<(const Weight& o) const {
    return std::tuple(mfma_passes, loads, instructions) < std::tuple(o.mfma_passes, o.loads, o.instructions);
  }
};

/// Without the loops inside it.
Weight own_weight(const Kernel& k, const Flow& flow, const Loop& loop) {
  Weight w;
  for (size_t b = 0; b < flow.blocks.size(); ++b) {
    if (!loop.blocks[b]) continue;
    const bool inner = std::any_of(flow.loops.begin(), flow.loops.end(),
                                   [&](const Loop& other) { return loop.contains(other) && other.blocks[b]; });
    if (inner) continue;
    for (size_t i = flow.blocks[b].first; i <= flow.blocks[b].last; ++i) {
      ++w.instructions;
      if (class_of(k.code[i]) == Class::kMfma) w.mfma_passes += passes_of(k.code[i]);
      w.loads += load_weight(k.code[i]);
    }
  }
  return w;
}

int widest_load(const Kernel& k, const std::vector<char>& inside) {
  int most = 0;
  for (size_t i = 0; i < k.code.size(); ++i)
    if (inside[i]) most = std::max(most, load_weight(k.code[i]));
  return most;
}

/// What a wave that does the common work is after: matrix operations, then the widest loads, then what feeds them (a
/// prefetch that the last iteration skips). All else only costs: masks of the last tile, tails.
double score_of(const Instruction& i, int widest) {
  switch (class_of(i)) {
    case Class::kMfma:
      return 1e6;
    case Class::kLoad:
      return load_weight(i) == widest ? 1000 : -1;
    case Class::kLds:
    case Class::kBarrier:
      return 20;
    default:
      return -1;
  }
}

/// Best ways to the end of the region from each of its blocks.
struct Ways {
  std::vector<double> best;
  std::vector<size_t> next;     ///< 0: ends here
  std::vector<char> goes_back;  ///< the next step is a branch back, and goes on in the ways of the round before
};

/// From the region's first block to a branch back to it (a loop) or to the end, by dynamic programming from the end
/// over forward edges. A loop inside that is left at its top has its way out behind a branch back: one such branch may
/// be taken a round, and leads into the ways of the round before.
std::vector<size_t> main_path(const Kernel& k, const Flow& flow, const std::vector<char>& in, size_t head, bool loop,
                              int widest) {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  const size_t size = flow.blocks.size();
  std::vector<double> own(size, 0);
  for (size_t b = head; b < size; ++b)
    for (size_t i = flow.blocks[b].first; i <= flow.blocks[b].last; ++i) own[b] += score_of(k.code[i], widest);
  std::vector<Ways> rounds;
  for (int round = 0; round < 4; ++round) {
    Ways ways{std::vector<double>(size, kNone), std::vector<size_t>(size, 0), std::vector<char>(size, 0)};
    for (size_t b = size; b-- > head;) {
      if (!in[b]) continue;
      const std::vector<size_t>& next = flow.blocks[b].next;
      const bool closes = loop && std::find(next.begin(), next.end(), head) != next.end();
      double tail = closes || (!loop && next.empty()) ? 0 : kNone;
      for (const size_t to : next) {
        if (!in[to] || (loop && to == head)) continue;
        const bool back = to <= b;
        if (back && round == 0) continue;
        const double value = back ? rounds.back().best[to] : ways.best[to];
        if (value > tail) tail = value, ways.next[b] = to, ways.goes_back[b] = back;
      }
      ways.best[b] = tail + own[b];
    }
    rounds.push_back(std::move(ways));
    // The first round that reaches matrix operations or the widest loads; a later one would go around loops twice.
    if (rounds.back().best[head] > 500) break;
  }
  std::vector<size_t> path;
  size_t round = rounds.size() - 1;
  for (size_t b = head;;) {
    for (size_t i = flow.blocks[b].first; i <= flow.blocks[b].last; ++i) path.push_back(i);
    const Ways& ways = rounds[round];
    if (ways.next[b] == 0) break;
    if (ways.goes_back[b]) --round;
    b = ways.next[b];
  }
  return path;
}

}  // namespace

Region hot_region(const Kernel& k, bool whole_body) {
  const Flow flow = flow_of(k);
  const auto instructions_of = [&](const std::vector<char>& blocks) {
    std::vector<char> inside(k.code.size(), 0);
    for (size_t b = 0; b < flow.blocks.size(); ++b)
      if (blocks[b])
        std::fill(inside.begin() + static_cast<std::ptrdiff_t>(flow.blocks[b].first),
                  inside.begin() + static_cast<std::ptrdiff_t>(flow.blocks[b].last) + 1, 1);
    return inside;
  };
  const Loop* hot = nullptr;
  Weight best;
  for (const Loop& loop : flow.loops) {
    const Weight w = own_weight(k, flow, loop);
    if (whole_body || (hot && !(best < w))) continue;
    best = w, hot = &loop;
  }
  std::vector<char> blocks(flow.blocks.size(), 1);
  Region region;
  region.inside = instructions_of(blocks);
  if (hot) {
    const std::vector<char> inside = instructions_of(hot->blocks);
    // A kernel whose widest loads are in no loop lives on its straight part.
    if (best.mfma_passes > 0 || widest_load(k, inside) == widest_load(k, region.inside))
      region.loop = true, region.inside = inside, blocks = hot->blocks;
  }
  for (size_t b = 0; b < flow.blocks.size(); ++b) {
    if (!blocks[b]) continue;
    const Block& block = flow.blocks[b];
    for (size_t i = block.first; i <= block.last; ++i) region.code_bytes += k.code[i].bytes;
    const std::string& last = k.code[block.last].mnemonic;
    const bool forward = std::all_of(block.next.begin(), block.next.end(), [&](size_t to) { return to > b; });
    region.divergent_branches += forward && (last == "s_cbranch_execz" || last == "s_cbranch_execnz");
  }
  region.path = main_path(k, flow, blocks, region.loop ? hot->header : 0, region.loop, widest_load(k, region.inside));
  return region;
}

}  // namespace greta::runners::isa
