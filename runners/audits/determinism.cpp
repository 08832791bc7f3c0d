// greta audit determinism: do equal inputs give equal bits, again in this process, after other work, under other
// schedules of the host executor, and in new processes? What is hashed is the raw bits of all logits, nothing else.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <random>
#include <utility>

#include "results/sha256.hpp"
#include "runners/audits/audits.hpp"
#include "runners/audits/plant.hpp"
#include "runners/child_process.hpp"
#include "runners/command_line.hpp"
#include "runners/gates/side.hpp"

namespace greta::runners {
namespace {

using results::Verdict;

struct Flags {
  AuditModelFlags model;
  std::string side = "prefill", plant;
  int64_t runs = 20, processes = 3;
  bool hash_only = false;
};

constexpr const char* kPlants[] = {"drifting-launch", "stale-state", "order-dependent", "process-dependent",
                                   "blind-hash"};

class Audit {
 public:
  Audit(const Flags& f, const CommonFlags& flags)
      : f_(f), flags_(flags), subject_(audit_subject(f.model, flags)), side_(side_from_text("--side", f.side)) {
    if (side_.kind == SideSpec::Kind::kReference) throw_invalid("--side reference: the audit is about the engine");
    if (!f.plant.empty()) {
      subject_.options.graphs = false;  // a plant copies, which a recording does not take
      draw_ = std::random_device{}();
      plant_.emplace([this](uint64_t launch) { return planted(launch); });
    }
    hip::Stream stream("upload");
    weights_ = model::load_weights(subject_.file, stream);
  }

  int run() {
    if (f_.hash_only) {
      fmt::print("{}\n", hash(subject_.ids));
      return kGreen;
    }
    const bool host = hip::platform_name() == "host";
    AuditRecords records(flags_, "determinism",
                         fmt::format("model={} tokens={} side={} kv={}", f_.model.model, subject_.ids.size(), f_.side,
                                     f_.model.engine.kv),
                         host ? 5 : 4);
    records.run(fmt::format("{} runs in one process", f_.runs), [&](results::Record& r) {
      std::map<std::string, int64_t> hashes;
      for (int64_t i = 0; i < f_.runs; ++i) {
        ++hashes[hash(subject_.ids)];
        if (i == 0) first_ = hashes.begin()->first;
      }
      judge(r, hashes);
    });
    records.run("after unrelated work", [&](results::Record& r) {
      std::map<std::string, int64_t> hashes;
      for (int64_t i = 0; i < 3; ++i) {
        unrelated_work(i);
        ++hashes[hash(subject_.ids)];
      }
      judge(r, hashes);
    });
    if (host) records.run("under other schedules of workgroups and threads", [&](results::Record& r) { schedules(r); });
    records.run(fmt::format("in {} new processes", f_.processes), [&](results::Record& r) { new_processes(r); });
    records.run("control: another input has another hash", [&](results::Record& r) { control(r); });
    return records.exit_code();
  }

 private:
  /// Whether this launch of this run is to be damaged.
  bool planted(uint64_t launch) const {
    if (launch != kPlantedLaunch) return false;
    if (f_.plant == "drifting-launch") return runs_ % 2 == 1;
    if (f_.plant == "stale-state") return worked_;
    if (f_.plant == "order-dependent") return hip::exec_config().order != hip::ExecConfig::Order::kForward;
    return f_.plant == "process-dependent" && f_.hash_only;
  }

  std::string hash(std::span<const int32_t> ids) {
    if (plant_) plant_->restart(f_.hash_only ? draw_ : 1);
    const SideRun run = run_side(weights_, subject_.options, {side_, ids, 0, false, flags_.seed});
    ++runs_;
    if (f_.plant == "blind-hash") return results::sha256({});
    if (run.logits.size() != ids.size() * static_cast<size_t>(subject_.config.vocab_size))
      throw Error(ErrorKind::kDeviceFault,
                  fmt::format("determinism: {} logits of {} tokens came back", run.logits.size(), ids.size()));
    return results::sha256_of(std::span<const float>(run.logits));
  }

  void judge(results::Record& r, const std::map<std::string, int64_t>& hashes) const {
    r.measured["hash"] = first_;
    r.measured["distinct"] = hashes.size();
    r.measured["side"] = side_.text();
    int64_t others = 0, all = 0;
    for (const auto& [h, n] : hashes) all += n, others += h == first_ ? 0 : n;
    r.measured["runs"] = all, r.measured["runs_that_differ"] = others;
    if (others == 0)
      r.outcome = {Verdict::kPass, ""};
    else
      r.outcome = {Verdict::kFail, fmt::format("{} of {} runs have other bits than the first run ({} different hashes; "
                                               "the first run's is {})",
                                               others, all, hashes.size(), first_)};
  }

  /// Other ids, another path, another KV size, buffers that come and go: what a process does between two requests.
  void unrelated_work(int64_t round) {
    std::vector<int32_t> ids = subject_.ids;
    for (auto& id : ids) id = static_cast<int32_t>((id + 1 + round) % subject_.config.vocab_size);
    ids.resize(std::max<size_t>(1, ids.size() / 2));
    SideSpec other = side_from_text("--side", round % 2 ? "prefill" : "decode");
    model::EngineOptions options = subject_.options;
    options.kv = round % 2 ? DType::kF16 : DType::kBF16;
    (void)run_side(weights_, options, {other, ids, 0, false, flags_.seed + 1});
    hip::Stream stream("unrelated");
    for (int i = 1; i <= 4; ++i) {
      hip::DeviceBuffer<float> scratch("unrelated", static_cast<size_t>(4099 * i));
      scratch.poison(stream);
    }
    stream.synchronize();
    worked_ = true;
  }

  void schedules(results::Record& r) {
    const hip::ExecConfig before = hip::exec_config();
    std::map<std::string, int64_t> hashes;
    results::Json tried = results::Json::array();
    const auto with = [&](hip::ExecConfig::Order order, uint64_t seed, int workers) {
      hip::ExecConfig config = before;
      config.order = order, config.order_seed = seed, config.workers = workers;
      hip::set_exec_config(config);
      ++hashes[hash(subject_.ids)];
      tried.push_back(fmt::format("order {} seed {} workers {}", static_cast<int>(order), seed, workers));
    };
    using Order = hip::ExecConfig::Order;
    with(Order::kReverse, 0, 1);
    with(Order::kRandom, 1, 2);
    with(Order::kRandom, 2, 1);
    with(Order::kForward, 0, 2);
    hip::set_exec_config(before);
    r.config["schedules"] = std::move(tried);
    judge(r, hashes);
  }

  void new_processes(results::Record& r) {
    std::vector<std::string> words = invocation_without_records(flags_);
    words.insert(words.begin(), program_path());
    words.push_back("--hash-only");
    std::map<std::string, int64_t> hashes;
    for (int64_t i = 0; i < f_.processes; ++i) {
      const ChildResult child =
          run_child({.argv = words, .limit_s = 300, .folder = {}, .environment = {}, .file_size_limit = {}});
      const std::string line = last_lines(child.out, 1);
      if (!child.exited_with(0) || line.size() != first_.size()) {
        r.outcome = {Verdict::kIncomplete,
                     fmt::format("process {}: {}; {}", i + 1, child.how_it_ended(), last_lines(child.err, 5))};
        return;
      }
      ++hashes[line];
    }
    judge(r, hashes);
  }

  void control(results::Record& r) {
    std::vector<int32_t> ids = subject_.ids;
    ids.back() = static_cast<int32_t>((ids.back() + 1) % subject_.config.vocab_size);
    const std::string other = hash(ids);
    r.measured["hash"] = other;
    if (other == first_)
      r.outcome = {Verdict::kVacuous, "the last token was changed and the hash was not: it says nothing of the logits"};
    else
      r.outcome = {Verdict::kPass, ""};
  }

  static constexpr uint64_t kPlantedLaunch = 7;
  const Flags& f_;
  const CommonFlags& flags_;
  AuditSubject subject_;
  SideSpec side_;
  std::shared_ptr<const model::Weights> weights_;
  std::optional<LaunchPlant> plant_;
  std::string first_;
  uint64_t runs_ = 0, draw_ = 0;
  bool worked_ = false;
};

}  // namespace

void register_audit_determinism(Command audit, CommonFlags& flags) {
  const Command verb =
      audit.subcommand("determinism", "equal inputs, equal bits: again, after other work, in new processes");
  auto f = std::make_shared<Flags>();
  f->model.add(verb);
  verb.option("--side", f->side, "prefill | decode | chunk:N | batch:N").show_default();
  verb.option("--runs", f->runs, "runs in one process").range(2, 1000).show_default();
  verb.option("--processes", f->processes, "new processes").range(1, 100).show_default();
  verb.option("--plant", f->plant, "plant a nondeterminism, which must turn the audit red").one_of(kPlants);
  verb.flag("--hash-only", f->hash_only, "one run; print the hash of its logits and stop");
  verb.callback([f, &flags] { flags.exit_code = Audit(*f, flags).run(); });
}

}  // namespace greta::runners
