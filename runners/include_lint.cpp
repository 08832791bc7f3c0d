// The include graph: which room may look at which.
#include <fmt/format.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "runners/source_lints.hpp"

namespace greta::runners {
namespace {

struct Include {
  int line;
  std::string target;
};
using Graph = std::map<std::string, std::vector<Include>>;

constexpr const char* kLayers[] = {
    "kernels/hip", "kernels/tile", "kernels/<operator>", "reference", "results", "verify", "bench", "model", "runners"};
constexpr int kOperatorLayer = 2;

/// "kernels/rope" for kernels/rope/v1.hip, "model" for model/gguf/reader.hpp.
std::string room_of(const std::string& path) {
  const size_t slash = path.find('/');
  const std::string top = path.substr(0, slash);
  if (top != "kernels" || slash == std::string::npos) return top;
  return path.substr(0, path.find('/', slash + 1));
}

/// -1 for a room that has no place in the layers.
int layer_of(const std::string& room) {
  for (int layer = 0; layer < static_cast<int>(std::size(kLayers)); ++layer)
    if (room == kLayers[layer]) return layer;
  return room.rfind("kernels/", 0) == 0 ? kOperatorLayer : -1;
}

/// Headers that are the device runtime, or belong to one platform.
bool is_runtime(const std::string& path) {
  static const std::set<std::string> headers = {"kernels/hip/hip.hpp", "kernels/hip/launch.hpp",
                                                "kernels/hip/runtime.hpp", "kernels/hip/platform.hpp",
                                                "kernels/hip/graph.hpp"};
  static const std::regex platform("kernels/hip/(host|rocm|cuda|gpu)/.*");
  return headers.count(path) || std::regex_match(path, platform);
}

bool must_be_hip_free(const std::string& path) {
  static const std::regex problem(".*_problem\\.(hpp|cpp)");
  return room_of(path) == "reference" || std::regex_match(path, problem);
}

Graph graph_of(const std::vector<SourceFile>& files) {
  static const std::regex directive("^\\s*#\\s*include\\s*\"([^\"]+)\"");
  Graph graph;
  for (const SourceFile& file : files) {
    std::vector<Include>& includes = graph[file.path];
    std::istringstream text(without_comments(file.text, true));
    std::string line;
    std::smatch match;
    for (int number = 1; std::getline(text, line); ++number)
      if (std::regex_search(line, match, directive)) includes.push_back({number, match[1]});
  }
  return graph;
}

/// A path of includes from `from` to a header of the runtime, empty when there is none.
std::vector<std::string> way_to_runtime(const Graph& graph, const std::string& from, std::set<std::string>& seen) {
  if (is_runtime(from)) return {from};
  if (!seen.insert(from).second) return {};
  const auto node = graph.find(from);
  if (node == graph.end()) return {};
  for (const Include& include : node->second)
    if (std::vector<std::string> way = way_to_runtime(graph, include.target, seen); !way.empty()) {
      way.insert(way.begin(), from);
      return way;
    }
  return {};
}

/// Rooms on a circle of operator rooms, empty when there is none.
std::vector<std::string> circle(const std::map<std::string, std::set<std::string>>& rooms) {
  enum State { kNew, kOpen, kDone };
  std::map<std::string, State> state;
  std::vector<std::string> way;
  const auto visit = [&](const auto& self, const std::string& room) -> bool {
    if (state[room] == kDone) return false;
    way.push_back(room);
    if (state[room] == kOpen) return true;
    state[room] = kOpen;
    if (const auto found = rooms.find(room); found != rooms.end())
      for (const std::string& next : found->second)
        if (self(self, next)) return true;
    state[room] = kDone;
    way.pop_back();
    return false;
  };
  for (const auto& [room, targets] : rooms)
    if (visit(visit, room)) return way;
  return {};
}

}  // namespace

Findings lint_includes(const std::vector<SourceFile>& files) {
  const Graph graph = graph_of(files);
  Findings findings;
  std::map<std::string, std::set<std::string>> operators;
  for (const auto& [path, includes] : graph) {
    const std::string room = room_of(path);
    const int layer = layer_of(room);
    if (layer < 0) findings.push_back(fmt::format("{}:1: room '{}' has no place in the layers", path, room));
    for (const Include& include : includes) {
      const std::string where = fmt::format("{}:{}: ", path, include.line);
      if (!graph.count(include.target)) {
        findings.push_back(where + fmt::format("\"{}\" is no file of the tree; includes start at its root, and system "
                                               "headers stand in <>",
                                               include.target));
        continue;
      }
      const std::string target = room_of(include.target);
      if (layer_of(target) > layer)
        findings.push_back(where + fmt::format("{} includes \"{}\": an arrow that runs up ({} lies above {})", room,
                                               include.target, target, room));
      if (layer == kOperatorLayer && layer_of(target) == kOperatorLayer && target != room)
        operators[room].insert(target);
    }
    std::set<std::string> seen;
    if (must_be_hip_free(path))
      if (const auto way = way_to_runtime(graph, path, seen); !way.empty())
        findings.push_back(fmt::format("{}:1: must be free of HIP, but reaches {}", path, fmt::join(way, " -> ")));
  }
  if (const auto way = circle(operators); !way.empty())
    findings.push_back(fmt::format("{}: operators include each other in a circle", fmt::join(way, " -> ")));
  return findings;
}

}  // namespace greta::runners
