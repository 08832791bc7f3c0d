#include "runners/audits/verb_defects.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernels/hip/runtime.hpp"
#include "results/store.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

using results::Outcome;
using results::Verdict;

/// A weight, a row of the KV cache in the first step, and the logits of that step, in the sample's run of one step.
constexpr std::pair<const char*, int> kTransfers[] = {{"weight", 5}, {"kv-row", 90}, {"logits", 97}};

std::vector<VerbDefect> make() {
  std::vector<VerbDefect> d;
  for (const auto& [kind, what] :
       {std::pair{"lost", "does not take place"}, std::pair{"short", "moves half of its bytes"},
        std::pair{"shifted", "lands one element beside its place"}})
    for (const auto& [tensor, at] : kTransfers)
      d.push_back({fmt::format("copy-{}-{}", kind, tensor), "copy", fmt::format("a transfer of a {} {}", tensor, what),
                   "audit copies", "--steps 1", fmt::format("--plant {} --plant-at {}", kind, at), 3,
                   fmt::format("transfer #{}", at)});

  d.push_back({"memory-leak", "memory", "a buffer outlives its engine", "audit memory", "", "--plant leak", 3,
               "buffer 'planted.leak'"});
  d.push_back({"memory-hidden-buffer", "memory", "a pass allocates what nobody foresaw", "audit memory", "",
               "--plant hidden-buffer", 3, "prefill"});
  d.push_back({"memory-blind-prediction", "memory", "half of the KV cache is forgotten in the prediction",
               "audit memory", "", "--plant blind-prediction", 3, "engine: KV cache and tables"});

  const auto fault = [&](const char* name, const char* what, const char* place, bool host_only = false,
                         const char* flags = "") {
    d.push_back({fmt::format("fault-{}", name), "fault", what, "audit fault", flags,
                 fmt::format("-- audit planted {}", name), 0, place, host_only, "-- audit planted none"});
  };
  fault("out-of-bounds", "a kernel writes one element past its buffer",
        "launch #137 plant_shift, argument 'y', buffer 'planted.5'");
  fault("use-after-free", "a launch is given a view of a released buffer",
        "plant_scale, argument 'x', buffer 'planted.freed'");
  fault("stale-pointer", "a kernel reads a released buffer through a pointer in a struct",
        "launch #137 plant_stale, buffer 'planted.freed'", true);
  fault("wrong-dtype", "a launch is given token ids as floats", "plant_scale, argument 'x', buffer 'planted.ids'");
  // On a GPU it is the device's choice whether two streams overtake each other.
  fault("missing-sync", "a gather by rows that another stream may not have written yet", "launch #101 plant_rows",
        true);
  fault("hang", "a launch waits for a flag that nobody sets", "launch #137 plant_spin", false, "--limit 2");
  fault("crash", "the program aborts between two launches", "after launch #136");
  fault("killed", "the program is killed between two launches", "after launch #136");

  const auto determinism = [&](const char* name, const char* what, const char* place, bool host_only = false) {
    d.push_back({fmt::format("determinism-{}", name), "determinism", what, "audit determinism",
                 "--runs 2 --processes 1", fmt::format("--plant {}", name), 3, place, host_only});
  };
  determinism("drifting-launch", "every second run of a launch gives other bits", "2 runs in one process");
  determinism("stale-state", "bits depend on what the process did before", "after unrelated work");
  determinism("order-dependent", "bits depend on the order of workgroups",
              "under other schedules of workgroups and threads", true);
  determinism("process-dependent", "bits depend on the process", "in 1 new processes");
  determinism("blind-hash", "the hash is not of the logits", "control: another input has another hash");

  const auto contradiction = [&](const char* name, const char* what, const char* place) {
    d.push_back({fmt::format("contradiction-{}", name), "contradiction", what, "audit contradictions", "",
                 fmt::format("--plant {}", name), 5, place});
  };
  contradiction("deaf-logits", "what the output matrix reads has no effect on the logits",
                "control: a mistake in the last layer");
  contradiction("stray-logits", "logits differ though the same rows were read", "sound: prefill against decode");
  contradiction("no-time", "a pass takes no time", "faster than light: a prefill pass");

  const auto decode = [&](const char* name, const char* what, const char* place) {
    d.push_back({fmt::format("decode-{}", name), "time", what, "audit decode", "--steps 2",
                 fmt::format("--plant {}", name), 6, place});
  };
  decode("short-prompt", "one token of the prompt is processed", "prompt");
  decode("lost-step", "one step fewer than asked for is taken", "steps");
  decode("stale-readback", "the logits that are read back are not the step's", "readback");
  decode("slow-clock", "the clock of the whole runs at half speed", "clock");

  const auto complexity = [&](const char* name, const char* what, const char* place) {
    d.push_back({fmt::format("complexity-{}", name), "time", what, "audit complexity", "--lengths 1,2,4,8",
                 fmt::format("--times {}", name), 8, place, false, "--times work"});
  };
  complexity("square", "the time of a prompt grows with the square of its work", "exponent");
  complexity("last-step", "the longest prompt takes twenty times its time", "last step");
  complexity("noise", "times are noise", "spread");
  complexity("light", "a pass is faster than the device", "clock");

  const auto trace = [&](const char* name, const char* what, const char* plant, const char* place) {
    d.push_back({name, "trace", what, "trace", "--out {scratch}/trace", plant, 5, place});
  };
  trace("trace-loses-a-stage", "the tracer drops the points of a stage", "--lose wo_out",
        "position 0, layer 0, wo_out");
  trace("trace-changes-logits", "the traced run computes something else", "--plant mlp_out:3:4 --planted-in traced",
        "logits, row 4");
  trace("trace-meets-nan", "a value of v is NaN", "--plant v:2:4:nan", "position 4, layer 2, v");
  const auto readout = [&](const char* name, const char* what, const char* plant, const char* place) {
    d.push_back({name, "readout", what, "trace --readout", "--steps 3", plant, 5, place});
  };
  readout("readout-neighbours-row", "the output matrix reads the row of the token before",
          "--plant final_norm:-:*:neighbour", "hidden row");
  readout("readout-collapse", "one id is far above all others at every step", "--plant logits:-:*:perturb:1000",
          "collapse");
  readout("readout-nan", "one logit of every step is NaN", "--plant logits:-:*:nan", "logits");

  const auto matrix = [&](const char* name, const char* what, const char* place) {
    d.push_back({fmt::format("matrix-{}", name), "process", what, "audit matrix", "--span 2 --kv fp16 --limit 20",
                 fmt::format("--plant 2={}", name), 4, place, false, "", true});
  };
  matrix("crash", "a cell of the matrix aborts", "cell 2");
  matrix("killed", "a cell of the matrix is killed", "cell 2");
  matrix("out-of-bounds", "a cell of the matrix faults", "cell 2");
  matrix("dead-device", "the device answers no more before a cell", "case 2 of 3, never begun");
  d.push_back({"matrix-hang", "process", "a cell of the matrix does not end", "audit matrix", "--span 2 --kv fp16",
               "--limit 3 --plant 2=hang", 4, "cell 2", false, "--limit 20", true});

  if (hip::platform_name() != "host") std::erase_if(d, [](const VerbDefect& v) { return v.host_only; });
  return d;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

bool is_green(const Outcome& o) {
  return o.verdict == Verdict::kPass || (o.verdict == Verdict::kSkip && !o.reason.empty());
}

VerbVerdict verdict_of(const ChildResult& child, const std::string& file) {
  VerbVerdict v;
  const results::StoredFile stored =
      std::filesystem::exists(file) ? results::read_records(file) : results::StoredFile();
  if (!child.error.empty() || stored.runs.empty()) {
    v.outcome = {Verdict::kIncomplete,
                 fmt::format("no records; {}: {}", child.how_it_ended(), last_lines(child.err, 3))};
    return v;
  }
  const results::StoredRun& run = stored.runs.back();
  const std::vector<Outcome> outcomes = run.outcomes();
  v.outcome = {Verdict::kPass, ""};
  for (const results::StoredCase& c : run.cases) {
    if (is_green(c.record.outcome)) continue;
    v.outcome = c.record.outcome;
    v.named = c.record.measured.value("named", c.record.case_name);
    break;
  }
  if (is_green(v.outcome) && !stored.bad_lines.empty())
    v.outcome = {Verdict::kIncomplete, "torn records: " + stored.bad_lines.front()};
  else if (is_green(v.outcome) && outcomes.size() > run.cases.size())
    v.outcome = outcomes.back(),
    v.named = fmt::format("case {} of {}, never begun", run.cases.size() + 1, outcomes.size());
  else if (const int wanted = results::exit_code(outcomes); !child.exited_with(wanted))
    v.outcome = {Verdict::kFail, fmt::format("{}, its records say {}", child.how_it_ended(), wanted)}, v.named = "";
  return v;
}

}  // namespace

std::span<const VerbDefect> verb_defects() {
  static const std::vector<VerbDefect> all = make();
  return all;
}

const VerbDefect& verb_defect_from_name(const std::string& name) {
  for (const VerbDefect& d : verb_defects())
    if (d.name == name) return d;
  throw_invalid(fmt::format("no defect '{}' of a verb", name));
}

std::string command_of(const VerbDefect& d) {
  std::string line = "greta " + d.gate;
  const auto add = [&](const std::string& words) { line += (words.empty() ? "" : " ") + words; };
  if (d.tokens) add(fmt::format("--model M --text-file T --tokens {}", d.tokens));
  std::string sound = d.sound;
  if (const size_t at = sound.find("{scratch}"); at != sound.npos) sound.replace(at, 9, "FOLDER");
  add(sound), add(d.plant);
  return line;
}

VerbVerdict try_verb(const VerbDefect& d, bool planted, const std::string& model, std::span<const int32_t> ids,
                     const ScratchFolder& scratch) {
  const std::string json = scratch.file("records.jsonl");
  std::filesystem::remove(json);
  std::vector<std::string> words = {program_path(), "--json", json};
  const auto add = [&](const std::string& text) {
    for (std::string& word : words_of(text)) {
      if (const size_t at = word.find("{scratch}/"); at != word.npos) word = scratch.file(word.substr(at + 10));
      words.push_back(std::move(word));
    }
  };
  add(d.gate);
  if (d.tokens) {
    words.insert(words.end(), {"--model", model, "--tokens", std::to_string(d.tokens)});
    if (d.text) {
      words.insert(words.end(), {"--text-file", GRETA_SOURCE_DIR "/model/samples/emma_chapter_1.txt"});
    } else {
      words.insert(words.end(), {"--ids", scratch.file("ids.json")});
      std::ofstream(scratch.file("ids.json")) << fmt::format("[{}]", fmt::join(ids, ","));
    }
  }
  add(d.sound), add(planted ? d.plant : d.sound_plant);
  return verdict_of(run_child({.argv = words, .limit_s = 120, .folder = {}, .environment = {}, .file_size_limit = {}}),
                    json);
}

}  // namespace greta::runners
