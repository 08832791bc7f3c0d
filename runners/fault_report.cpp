#include "runners/fault_report.hpp"

#include <fmt/format.h>

#include <fstream>

#include "kernels/hip/progress.hpp"
#include "kernels/hip/runtime.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

std::string g_path;  ///< of --fault-report
hip::WaitPlan g_plan;

}  // namespace

void add_fault_flags(Command app) {
  const char* group = "Fault finding (audit fault sets these for its children)";
  app.on_uint64(
         "--sync-every", [](const uint64_t& k) { g_plan.every = k, hip::set_wait_plan(g_plan); },
         "wait after every K-th launch (0: never)")
      .type_name("K")
      .take_last()
      .group(group);
  app.on_uint64(
         "--sync-until", [](const uint64_t& n) { g_plan.until = n, hip::set_wait_plan(g_plan); },
         "wait after each of the first N launches")
      .type_name("N")
      .take_last()
      .group(group);
  app.on_int(
         "--checked",
         [](const int& on) {
           hip::ExecConfig config = hip::exec_config();
           config.checked = on != 0;
           hip::set_exec_config(config);
         },
         "1: look at guard zones after each launch, which waits for it on GPUs (default); 0: not")
      .one_of({0, 1})
      .type_name("0|1")
      .take_last()
      .group(group);
  app.on_text(
         "--fault-report", [](const std::string& path) { g_path = path; },
         "write the first device fault, or the launch that was refused, to FILE as JSON")
      .type_name("FILE")
      .take_last()
      .group(group);
  app.on_text(
         "--flight-recorder", [](const std::string& path) { hip::open_flight_recorder(path); },
         "note in FILE which launches began and finished, also for a process that is killed")
      .type_name("FILE")
      .take_last()
      .group(group);
  app.on_flag(
         "--device-marks", [] { hip::mark_launches_on_device(true); },
         "GPUs: the device itself marks begin and end of each launch in pinned memory")
      .take_last()
      .group(group);
}

results::Json to_json(const hip::FaultReport& r) {
  results::Json json = {{"refused", r.refused},
                        {"launch", r.launch},
                        {"kernel", r.kernel},
                        {"argument", r.argument},
                        {"direction", r.direction},
                        {"buffer", r.buffer},
                        {"buffer_bytes", r.buffer_bytes},
                        {"buffer_freed", r.buffer_freed}};
  if (r.offset) json["offset"] = *r.offset;
  json["candidates"] = r.candidates;
  json["text"] = r.text;
  return json;
}

void write_fault_report(const std::string& message) noexcept {
  try {
    if (g_path.empty()) return;
    const auto report = hip::last_fault_report();
    if (!report || (report->refused && message.find(report->text) == std::string::npos)) return;
    std::ofstream(g_path) << results::to_line(to_json(*report)) << "\n";
  } catch (...) {
    fmt::print(stderr, "greta: --fault-report {} could not be written\n", g_path);
  }
}

std::optional<hip::FaultReport> read_fault_report(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (!std::getline(in, line)) return std::nullopt;
  try {
    const auto json = nlohmann::json::parse(line);
    hip::FaultReport r;
    r.refused = json.at("refused"), r.launch = json.at("launch"), r.kernel = json.at("kernel");
    r.argument = json.at("argument"), r.direction = json.at("direction"), r.buffer = json.at("buffer");
    r.buffer_bytes = json.at("buffer_bytes"), r.buffer_freed = json.at("buffer_freed");
    if (json.contains("offset")) r.offset = json["offset"].get<int64_t>();
    for (const auto& c : json.at("candidates")) r.candidates.push_back(c);
    r.text = json.at("text");
    return r;
  } catch (const nlohmann::json::exception& error) {
    throw_invalid(fmt::format("{}: no fault report: {}", path, error.what()));
  }
}

}  // namespace greta::runners
