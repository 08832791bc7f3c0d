#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <unordered_map>

#include "kernels/hip/error.hpp"
#include "results/store.hpp"

namespace greta::results {
namespace {

class Reader {
 public:
  StoredFile take() { return std::move(file_); }

  void line(const std::string& text, int64_t number) {
    try {
      const Json object = Json::parse(text);
      if (!object.is_object()) throw_invalid("not an object");
      event(object);
    } catch (const std::exception& error) {
      file_.bad_lines.push_back(fmt::format("line {}: {}", number, error.what()));
    }
  }

 private:
  void event(const Json& object) {
    if (object.value("schema", 0) != kSchemaVersion)
      throw_invalid(fmt::format("schema {} is not {}", object.value("schema", 0), kSchemaVersion));
    const std::string kind = object.at("event").get<std::string>();
    StoredRun& run = run_of(object.at("run").get<std::string>());
    if (kind == "run") {
      run.invocation = object.at("invocation").get<std::vector<std::string>>();
      run.environment = {object.at("platform"), object.at("device"), object.at("toolchain"), object.at("commit"),
                         object.at("matrix_model")};
    } else if (kind == "plan") {
      run.planned = run.planned.value_or(0) + object.at("cases").get<int64_t>();
    } else if (kind == "start") {
      StoredCase begun{record_from_line(object), 0};
      begun.record.outcome = {Verdict::kIncomplete, "started and not finished"};
      const std::string key = key_of(object);
      if (!cases_.emplace(key, run.cases.size()).second) throw_invalid("case " + key + " started twice");
      run.cases.push_back(std::move(begun));
    } else if (kind == "end") {
      const auto begun = cases_.find(key_of(object));
      if (begun == cases_.end()) throw_invalid("case " + key_of(object) + " ended and never started");
      run.cases.at(begun->second) = {record_from_line(object), object.at("seconds").get<double>()};
    } else {
      throw_invalid("unknown event '" + kind + "'");
    }
  }

  static std::string key_of(const Json& object) {
    return fmt::format("{}/{}", object.at("run").get<std::string>(), object.at("id").get<int64_t>());
  }

  StoredRun& run_of(const std::string& id) {
    const auto [it, fresh] = runs_.emplace(id, file_.runs.size());
    if (fresh)
      file_.runs.push_back(StoredRun{.run_id = id, .invocation = {}, .environment = {}, .planned = {}, .cases = {}});
    return file_.runs[it->second];
  }

  StoredFile file_;
  std::unordered_map<std::string, size_t> runs_;
  std::unordered_map<std::string, size_t> cases_;
};

}  // namespace

std::vector<Outcome> StoredRun::outcomes() const {
  std::vector<Outcome> all;
  for (const StoredCase& c : cases) all.push_back(c.record.outcome);
  if (!planned) all.push_back({Verdict::kIncomplete, "the run ended before it said what it planned"});
  while (static_cast<int64_t>(all.size()) < planned.value_or(0))
    all.push_back({Verdict::kIncomplete, "planned and not started"});
  return all;
}

StoredFile read_records(const std::string& path) {
  errno = 0;
  std::ifstream in(path);
  if (!in) throw_invalid(fmt::format("results file '{}' cannot be read: {}", path, std::strerror(errno)));
  Reader reader;
  std::string text;
  for (int64_t number = 1; std::getline(in, text); ++number)
    if (!text.empty()) reader.line(text, number);
  if (in.bad()) throw_invalid(fmt::format("results file '{}': reading stopped: {}", path, std::strerror(errno)));
  return reader.take();
}

}  // namespace greta::results
