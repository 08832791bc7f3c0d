// greta audit matrix: the equivalence gate over models, KV types, kv-aligned 0 and 1 and prompts, each cell in a fresh
// process with a time limit, on a probed device. A cell that crashes, hangs or is killed is INCOMPLETE, alone.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

#include "runners/audits/audits.hpp"
#include "runners/audits/same_records.hpp"
#include "runners/audits/scratch_folder.hpp"
#include "runners/command_line.hpp"
#include "runners/fault_attribution.hpp"

namespace greta::runners {
namespace {

using results::Verdict;

struct Flags {
  std::vector<std::string> models, texts, plants;
  std::vector<std::string> kv = {"fp16", "bf16"};
  std::vector<int> aligned = {0, 1};
  int64_t span = 32, tokens = 64;
  double limit_s = 120;
  bool attribute = false;
  std::string against;
};

/// As a plant: the probe before that cell fails.
constexpr const char* kDeadDevice = "dead-device";

struct Cell {
  std::string name;
  std::vector<std::string> words;  ///< arguments of greta
  std::string plant;
};

std::string base_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

/// Common flags that steer kernels, as this program was given them.
std::vector<std::string> steering(const CommonFlags& flags) {
  std::vector<std::string> words;
  for (size_t i = 0; i < flags.invocation.size(); ++i)
    for (const std::string name : {"--workers", "--wave", "--exp", "--matrix-model", "--seed", "--rung"}) {
      const std::string& word = flags.invocation[i];
      if (word == name && i + 1 < flags.invocation.size()) words.insert(words.end(), {word, flags.invocation[i + 1]});
      if (word.starts_with(name + "=")) words.push_back(word);
    }
  return words;
}

/// "3=crash" -> cell 3 runs `audit planted crash` instead.
void plant(std::vector<Cell>& cells, const std::string& text) {
  const size_t equals = text.find('=');
  const size_t number = equals == std::string::npos ? 0 : std::strtoul(text.c_str(), nullptr, 10);
  if (number < 1 || number > cells.size())
    throw_invalid(fmt::format("--plant {}: want CELL=NAME with CELL from 1 to {}", text, cells.size()));
  cells[number - 1].plant = text.substr(equals + 1);
  cells[number - 1].words = {"audit", "planted", cells[number - 1].plant};
}

std::vector<Cell> plan(const Flags& f, const CommonFlags& flags) {
  std::vector<Cell> cells;
  for (const std::string& model : f.models)
    for (const std::string& text : f.texts)
      for (const std::string& kv : f.kv)
        for (const int aligned : f.aligned) {
          Cell cell;
          cell.name = fmt::format("{} {} kv={} kv_aligned={}", base_name(model), base_name(text), kv, aligned);
          cell.words = {"gate",
                        "--model",
                        model,
                        "--text-file",
                        text,
                        "--tokens",
                        std::to_string(f.tokens),
                        "--span",
                        std::to_string(f.span),
                        "--kv",
                        kv,
                        "--kv-aligned",
                        std::to_string(aligned)};
          for (const std::string& word : steering(flags)) cell.words.push_back(word);
          cells.push_back(std::move(cell));
        }
  for (const std::string& text : f.plants) plant(cells, text);
  return cells;
}

/// What the child recorded of its one case; an exit code that says otherwise is not believed.
void judge(const ChildResult& child, const std::string& file, results::Record& record) {
  std::optional<results::Record> told;
  try {
    const results::StoredFile stored = results::read_records(file);
    if (!stored.runs.empty() && !stored.runs.back().cases.empty()) told = stored.runs.back().cases.back().record;
  } catch (const Error&) {  // no file: the child did not get that far
  }
  const std::string said = last_lines(child.err, 6);
  if (told) record.measured = told->measured, record.config = told->config, record.arithmetic = told->arithmetic;
  record.measured["ended"] = child.how_it_ended();
  if (!child.error.empty() || child.signal || child.timed_out || !told ||
      told->outcome.verdict == Verdict::kIncomplete) {
    // A kernel that faulted is red; what did not end by itself has shown nothing.
    record.outcome = {child.exited_with(kRed) ? Verdict::kFail : Verdict::kIncomplete,
                      fmt::format("{}{}{}", child.how_it_ended(), said.empty() ? "" : ": ", said)};
    return;
  }
  record.outcome = told->outcome;
  const int wanted = results::exit_code({&record.outcome, 1});
  if (!child.exited_with(wanted))
    record.outcome = {Verdict::kFail, fmt::format("{}, but its record says {}", child.how_it_ended(),
                                                  results::verdict_name(told->outcome.verdict))};
}

/// Cells that differ in one knob must differ in what the engine did, or the knob did nothing.
void contradictions(const std::vector<results::Record>& done, results::Record& r) {
  std::vector<std::string> idle;
  int64_t pairs = 0;
  for (size_t i = 0; i < done.size(); ++i)
    for (size_t j = i + 1; j < done.size(); ++j) {
      const results::Json &a = done[i].config, &b = done[j].config;
      if (!a.contains("kv_dtype") || !b.contains("kv_dtype") || a["model"] != b["model"]) continue;
      const bool same_text = done[i].problem == done[j].problem;
      const auto hash = [](const results::Json& c) { return c["a"].value("logits_sha256", std::string()); };
      if (same_text && a["kv_aligned"] == b["kv_aligned"] && a["kv_dtype"] != b["kv_dtype"] && hash(a) == hash(b))
        idle.push_back(
            fmt::format("'{}' and '{}': another KV type, the same logits", done[i].case_name, done[j].case_name));
      if (!same_text && a["kv_aligned"] == b["kv_aligned"] && a["kv_dtype"] == b["kv_dtype"] && hash(a) == hash(b))
        idle.push_back(
            fmt::format("'{}' and '{}': another prompt, the same logits", done[i].case_name, done[j].case_name));
      if (same_text && a["kv_aligned"] != b["kv_aligned"] && a["kv_dtype"] == b["kv_dtype"] &&
          a["b"]["kv_rows_read"] == b["b"]["kv_rows_read"])
        idle.push_back(
            fmt::format("'{}' and '{}': kv-aligned 0 and 1 read the same rows", done[i].case_name, done[j].case_name));
      ++pairs;
    }
  r.measured["pairs"] = pairs, r.measured["idle"] = idle;
  if (!idle.empty())
    r.outcome = {Verdict::kVacuous, fmt::format("{}", fmt::join(idle, "; "))};
  else if (pairs == 0)
    r.outcome = {Verdict::kSkip, "no two cells with records to compare"};
  else
    r.outcome = {Verdict::kPass, ""};
}

int run_matrix(Flags f, const CommonFlags& flags) {
  const std::string samples = std::string(GRETA_SOURCE_DIR) + "/model/samples";
  if (f.models.empty()) f.models = {samples + "/sample-llama-a.q4_k_m.gguf"};
  if (f.texts.empty()) f.texts = {samples + "/emma_chapter_1.txt", samples + "/README.md"};
  if (f.span > f.tokens) throw_invalid(fmt::format("--span {}: a cell has only --tokens {}", f.span, f.tokens));
  const std::vector<Cell> cells = plan(f, flags);
  const ScratchFolder scratch("greta_matrix");
  const auto start = std::chrono::steady_clock::now();
  AuditRecords records(flags, "matrix", fmt::format("{} cells, span {} of {} tokens", cells.size(), f.span, f.tokens),
                       static_cast<int64_t>(cells.size()) + 1 + !f.against.empty());
  std::vector<results::Record> done;
  for (size_t i = 0; i < cells.size(); ++i) {
    const Cell& cell = cells[i];
    const bool dead = cell.plant == kDeadDevice;
    if (const auto probed = dead ? probe_in_child({"audit", "planted", "out-of-bounds"}) : probe_in_child();
        probed.verdict != Verdict::kPass)
      throw Error(ErrorKind::kNoDevice, fmt::format("matrix: before cell {} of {}: {}; the cells left are INCOMPLETE",
                                                    i + 1, cells.size(), probed.reason));
    records.run(cell.name, [&](results::Record& r) {
      r.kind = "gate", r.kernel = "model", r.tier = "M";
      r.problem = cell.plant.empty() ? fmt::format("{} {}", cell.words[2], cell.words[4]) : "planted " + cell.plant;
      std::vector<std::string> argv = cell.words;
      argv.insert(argv.begin(), "./greta");
      r.repeat = shell_line(argv);
      argv.front() = program_path();
      const std::string file = scratch.file(fmt::format("{}.jsonl", i));
      if (cell.plant.empty()) argv.insert(argv.end(), {"--json", file});
      const ChildResult child =
          run_child({.argv = argv, .limit_s = f.limit_s, .folder = {}, .environment = {}, .file_size_limit = {}});
      judge(child, file, r);
      r.measured["peak_rss_kib"] = child.peak_rss_kib;
      r.measured["named"] = fmt::format("cell {}", i + 1);
      if (f.attribute &&
          (r.outcome.verdict == Verdict::kIncomplete || child.err.find("kernel ") != std::string::npos)) {
        const Attribution blame = attribute_fault(cell.words, f.limit_s);
        r.measured["attribution"] = attribution_name(blame.kind);
        r.outcome.reason += "; to blame: " + blame.text();
      }
      done.push_back(r);
    });
    std::fflush(stdout);
  }
  records.run("knobs changed what they must", [&](results::Record& r) { contradictions(done, r); });
  if (!f.against.empty())
    records.run("the bits of " + base_name(f.against),
                [&](results::Record& r) { compare_with_earlier(done, records.store().environment(), f.against, r); });
  fmt::print("{} cells in {:.1f} s\n", cells.size(),
             std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return records.exit_code();
}

}  // namespace

void register_audit_matrix(Command audit, CommonFlags& flags) {
  auto f = std::make_shared<Flags>();
  const Command verb =
      audit.subcommand("matrix", "the gate over models, prompts, KV types and kv-aligned, a process a cell");
  verb.option("--model", f->models, "GGUF file; may be given several times (default: the sample)");
  verb.option("--text-file", f->texts, "prompt; may be given several times (default: two texts of the sample)");
  verb.option("--tokens", f->tokens, "of each prompt").positive().show_default();
  verb.option("--span", f->span, "positions compared").positive().show_default();
  verb.option("--kv", f->kv, "KV types").show_default();
  verb.option("--kv-aligned", f->aligned, "0, 1 or both").one_of({0, 1}).show_default();
  verb.option("--limit", f->limit_s, "seconds a cell").positive().show_default();
  verb.flag("--attribute", f->attribute, "look for who is to blame when a cell ends by a fault");
  verb.option("--against", f->against,
              "records of an earlier run, of another platform or commit: every cell must have the bits it had there");
  verb.option("--plant", f->plants,
              "CELL=crash|hang|killed|out-of-bounds|...: that cell runs `audit planted NAME`; "
              "CELL=dead-device: the probe before it fails");
  verb.callback([f, &flags] { flags.exit_code = run_matrix(*f, flags); });
}

}  // namespace greta::runners
