#include "runners/isa/flow.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace greta::runners::isa {
namespace {

bool falls_through(const Instruction& i) {
  return i.mnemonic != "s_branch" && i.mnemonic != "s_endpgm" && i.mnemonic.rfind("s_setpc", 0) != 0;
}

/// In the order of addresses.
std::vector<Block> blocks_of(const Kernel& k) {
  std::map<uint64_t, size_t> index;
  for (size_t i = 0; i < k.code.size(); ++i) index[k.code[i].address] = i;
  std::set<size_t> starts = {0};
  const auto target_of = [&](size_t i) {
    const auto to = k.code[i].target ? index.find(*k.code[i].target) : index.end();
    return to == index.end() ? k.code.size() : to->second;
  };
  for (size_t i = 0; i < k.code.size(); ++i) {
    if (!k.code[i].target && falls_through(k.code[i])) continue;
    if (i + 1 < k.code.size()) starts.insert(i + 1);
    if (target_of(i) < k.code.size()) starts.insert(target_of(i));
  }
  std::vector<Block> blocks;
  std::map<size_t, size_t> block_at;
  for (auto start = starts.begin(); start != starts.end(); ++start) {
    const auto following = std::next(start);
    block_at[*start] = blocks.size();
    blocks.push_back({*start, (following == starts.end() ? k.code.size() : *following) - 1, {}});
  }
  for (Block& b : blocks) {
    if (falls_through(k.code[b.last]) && b.last + 1 < k.code.size()) b.next.push_back(block_at[b.last + 1]);
    if (const size_t to = target_of(b.last); to < k.code.size()) b.next.push_back(block_at[to]);
  }
  return blocks;
}

/// Reachable blocks, numbered anew in reverse postorder.
std::vector<Block> ordered(const std::vector<Block>& blocks) {
  std::vector<size_t> postorder;
  std::vector<char> seen(blocks.size(), 0);
  std::vector<std::pair<size_t, size_t>> stack = {{0, 0}};
  seen[0] = 1;
  while (!stack.empty()) {
    auto& [block, edge] = stack.back();
    if (edge == blocks[block].next.size()) {
      postorder.push_back(block);
      stack.pop_back();
      continue;
    }
    const size_t to = blocks[block].next[edge++];
    if (!seen[to]) seen[to] = 1, stack.push_back({to, 0});
  }
  std::vector<size_t> number(blocks.size(), 0);
  for (size_t i = 0; i < postorder.size(); ++i) number[postorder[i]] = postorder.size() - 1 - i;
  std::vector<Block> out(postorder.size());
  for (const size_t block : postorder) {
    Block b = blocks[block];
    for (size_t& to : b.next) to = number[to];
    out[number[block]] = std::move(b);
  }
  return out;
}

std::vector<Loop> loops_of(const std::vector<Block>& blocks) {
  std::vector<std::vector<size_t>> before(blocks.size());
  for (size_t b = 0; b < blocks.size(); ++b)
    for (const size_t to : blocks[b].next) before[to].push_back(b);
  std::map<size_t, Loop> loops;
  for (size_t b = 0; b < blocks.size(); ++b)
    for (const size_t header : blocks[b].next) {
      if (header > b) continue;
      Loop& loop = loops[header];
      loop.header = header;
      loop.blocks.resize(blocks.size(), 0);
      loop.blocks[header] = 1;
      std::vector<size_t> open = {b};  // what reaches the branch back without the header
      while (!open.empty()) {
        const size_t at = open.back();
        open.pop_back();
        if (loop.blocks[at]) continue;
        loop.blocks[at] = 1;
        open.insert(open.end(), before[at].begin(), before[at].end());
      }
    }
  std::vector<Loop> out;
  for (auto& [header, loop] : loops) out.push_back(std::move(loop));
  return out;
}

}  // namespace

Flow flow_of(const Kernel& kernel) {
  Flow flow;
  flow.blocks = ordered(blocks_of(kernel));
  flow.loops = loops_of(flow.blocks);
  return flow;
}

}  // namespace greta::runners::isa
