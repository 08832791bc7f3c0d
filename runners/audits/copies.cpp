// greta audit copies: is every transfer what it says it is? A run with every copy logged and looked at a second time,
// against the same run without, and against what the engine must move.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <regex>
#include <utility>

#include "kernels/hip/copy_log.hpp"
#include "model/llama.hpp"
#include "results/sha256.hpp"
#include "runners/audits/audits.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

using hip::CopyRecord;
using results::Verdict;

struct Flags {
  AuditModelFlags model;
  int64_t steps = 50;
  std::string log, plant;
  uint64_t plant_at = 0;
};

constexpr const char* kPlants[] = {"short", "shifted", "lost"};

const char* kind_name(CopyRecord::Kind kind) {
  switch (kind) {
    case CopyRecord::Kind::kToDevice:
      return "to device";
    case CopyRecord::Kind::kFromDevice:
      return "from device";
    case CopyRecord::Kind::kOnDevice:
      return "on device";
  }
  return "?";
}

/// The tensor of a transfer and its layer, -1 outside layers: "kv_cache.3.k" is tensor kv_cache.k of layer 3.
std::pair<std::string, int64_t> tensor_of(const CopyRecord& c) {
  const std::string& name = c.to_id ? c.to : c.from;
  static const std::regex layer("^(.*)\\.([0-9]+)\\.(.*)$");
  std::smatch parts;
  if (!std::regex_match(name, parts, layer)) return {name, -1};
  return {parts[1].str() + "." + parts[3].str(), std::stoll(parts[2].str())};
}

results::Json line_of(const CopyRecord& c) {
  const auto [tensor, layer] = tensor_of(c);
  return {{"id", c.id},
          {"seconds", c.seconds},
          {"kind", kind_name(c.kind)},
          {"stream", c.stream},
          {"tensor", tensor},
          {"layer", layer},
          {"step", c.step},
          {"what", c.what},
          {"from", c.from},
          {"to", c.to},
          {"from_address", c.from_address},
          {"to_address", c.to_address},
          {"from_offset", c.from_offset},
          {"to_offset", c.to_offset},
          {"bytes", c.bytes},
          {"dtype", dtype_name(c.dtype)},
          {"verified", c.verified},
          {"problem", c.problem}};
}

class Audit {
 public:
  Audit(const Flags& f, const CommonFlags& flags) : f_(f), flags_(flags), subject_(audit_subject(f.model, flags)) {
    const auto n = static_cast<int64_t>(subject_.ids.size());
    if (n < 2) throw_invalid("audit copies: wants a prompt of at least 2 tokens");
    if (n + f.steps > subject_.config.context_length)
      throw_invalid(fmt::format("--steps {}: {} tokens and so many steps do not fit the context of {}", f.steps, n,
                                subject_.config.context_length));
    hip::Stream stream("upload");
    weights_ = model::load_weights(subject_.file, stream);
  }

  int run() {
    AuditRecords records(flags_, "copies",
                         fmt::format("model={} tokens={} steps={}", f_.model.model, subject_.ids.size(), f_.steps), 4);
    std::string off, on;
    records.run("audit off: nothing is logged", [&](results::Record& r) {
      off = work(nullptr);
      r.measured["hash"] = off;
      r.outcome = {Verdict::kPass, ""};
    });
    records.run("audit on: every transfer looked at twice", [&](results::Record& r) {
      hip::CopyLog log(true);
      if (!f_.plant.empty()) hip::plant_copy(planted(), f_.plant_at);
      on = work(&log);
      hip::plant_copy(hip::CopyPlant::kNone, 0);
      rows_ = log.rows();
      transfers(r);
    });
    records.run("transfers are those that the engine must make", [&](results::Record& r) { predicted(r); });
    records.run("audit on and off agree in every bit", [&](results::Record& r) {
      r.measured["hash_off"] = off, r.measured["hash_on"] = on;
      if (off == on)
        r.outcome = {Verdict::kPass, ""};
      else
        r.outcome = {Verdict::kFail, fmt::format("logits with the audit hash to {}, without to {}", on, off)};
    });
    if (!f_.log.empty()) write_log();
    return records.exit_code();
  }

 private:
  hip::CopyPlant planted() const {
    return f_.plant == "short"     ? hip::CopyPlant::kShort
           : f_.plant == "shifted" ? hip::CopyPlant::kShifted
                                   : hip::CopyPlant::kLost;
  }

  /// Upload of weights, one prefill pass, then decode steps with a row of the cache copied between slots at each.
  std::string work(hip::CopyLog* log) {
    const auto step = [&](int64_t number, const char* what) {
      if (log) log->step(number, what);
    };
    step(-1, "weights");
    hip::Stream stream("upload");
    if (log) weights_ = model::load_weights(subject_.file, stream);
    step(0, "engine");
    model::EngineOptions options = subject_.options;
    const auto n = static_cast<int64_t>(subject_.ids.size());
    options.slots = 2, options.context = n + f_.steps;
    model::Llama engine(weights_, options);
    results::Sha256 sum;
    const auto add = [&](const std::vector<float>& logits) { sum.update(std::as_bytes(std::span(logits))); };
    step(0, "prefill");
    add(engine.prefill(0, subject_.ids, n - 1));
    (void)engine.prefill(1, subject_.ids, n);
    for (int64_t i = 1; i <= f_.steps; ++i) {
      step(i, "kv row");
      engine.cache().copy_row(engine.stream(), 0, 1, (i - 1) % n);
      step(i, "decode");
      const auto id = subject_.ids[static_cast<size_t>(i % n)];
      add(engine.decode(std::vector<int32_t>{id, id}));
    }
    return sum.hex();
  }

  void transfers(results::Record& r) const {
    size_t bytes = 0, verified = 0;
    std::vector<std::string> bad;
    for (const CopyRecord& c : rows_) {
      bytes += c.bytes, verified += c.verified;
      const auto [tensor, layer] = tensor_of(c);
      if (!c.problem.empty())
        bad.push_back(fmt::format("{}, tensor {}{}: {}", describe(c), tensor,
                                  layer < 0 ? "" : fmt::format(" of layer {}", layer), c.problem));
    }
    r.measured = {{"transfers", rows_.size()}, {"bytes", bytes}, {"verified", verified}, {"bad", bad}};
    const auto first = std::find_if(rows_.begin(), rows_.end(), [](const CopyRecord& c) { return !c.problem.empty(); });
    if (first != rows_.end()) r.measured["named"] = fmt::format("transfer #{}", first->id);
    if (rows_.empty())
      r.outcome = {Verdict::kVacuous, "nothing was logged"};
    else if (verified != rows_.size())
      r.outcome = {Verdict::kVacuous,
                   fmt::format("{} of {} transfers were not looked at", rows_.size() - verified, rows_.size())};
    else if (!bad.empty())
      r.outcome = {Verdict::kFail,
                   fmt::format("{} of {} transfers are wrong: {}", bad.size(), rows_.size(), bad.front())};
    else if (f_.plant_at > rows_.size())
      r.outcome = {Verdict::kVacuous, fmt::format("--plant-at {}: there were {} transfers", f_.plant_at, rows_.size())};
    else
      r.outcome = {Verdict::kPass, ""};
  }

  /// Counts and bytes by step kind and tensor, from the model's shape alone.
  void predicted(results::Record& r) const {
    struct Sum {
      size_t count = 0, bytes = 0;
      bool operator==(const Sum&) const = default;
    };
    std::map<std::string, Sum> wanted, seen;
    const auto want = [&](const std::string& what, const char* kind, const std::string& tensor, size_t count,
                          size_t bytes_each) {
      if (count) wanted[fmt::format("{} | {} | {}", what, kind, tensor)] = {count, count * bytes_each};
    };
    const model::LlamaConfig& c = subject_.config;
    const size_t n = subject_.ids.size(), steps = static_cast<size_t>(f_.steps);
    const size_t layers = static_cast<size_t>(c.n_layers), vocab = static_cast<size_t>(c.vocab_size);
    const size_t kv_row = static_cast<size_t>(c.n_kv_heads * c.head_dim) * 2;
    want("prefill", "to device", "step_inputs", 2, n * 5 * 4);
    want("prefill", "from device", "logits", 1, vocab * 4);
    want("kv row", "on device", "kv_cache.k", steps * layers, kv_row);
    want("kv row", "on device", "kv_cache.v", steps * layers, kv_row);
    want("decode", "to device", "step_inputs", steps, 2 * 5 * 4);
    want("decode", "from device", "logits", steps, 2 * vocab * 4);
    for (const CopyRecord& row : rows_) {
      if (row.what != "prefill" && row.what != "kv row" && row.what != "decode") continue;
      Sum& sum = seen[fmt::format("{} | {} | {}", row.what, kind_name(row.kind), tensor_of(row).first)];
      ++sum.count, sum.bytes += row.bytes;
    }
    std::vector<std::string> wrong;
    for (const auto& [key, sum] : wanted)
      if (!(seen[key] == sum))
        wrong.push_back(fmt::format("{}: {} transfers of {} bytes, wanted {} of {}", key, seen[key].count,
                                    seen[key].bytes, sum.count, sum.bytes));
    for (const auto& [key, sum] : seen)
      if (!wanted.count(key)) wrong.push_back(fmt::format("{}: {} transfers nobody asked for", key, sum.count));
    r.measured["kinds"] = wanted.size();
    if (wrong.empty())
      r.outcome = {Verdict::kPass, ""};
    else
      r.outcome = {Verdict::kFail, fmt::format("{}", fmt::join(wrong, "; "))};
  }

  void write_log() const {
    std::ofstream out(f_.log);
    for (const CopyRecord& c : rows_) out << results::to_line(line_of(c)) << "\n";
    out.flush();
    if (!out) throw Error(ErrorKind::kIo, fmt::format("--log {}: could not be written", f_.log));
    fmt::print("{}: {} transfers\n", f_.log, rows_.size());
  }

  const Flags& f_;
  const CommonFlags& flags_;
  AuditSubject subject_;
  std::shared_ptr<const model::Weights> weights_;
  std::vector<CopyRecord> rows_;
};

}  // namespace

void register_audit_copies(Command audit, CommonFlags& flags) {
  auto f = std::make_shared<Flags>();
  const Command verb = audit.subcommand("copies", "every transfer logged and looked at a second time");
  f->model.add(verb);
  verb.option("--steps", f->steps, "decode steps of the stress loop").range(1, 100000).show_default();
  verb.option("--log", f->log, "write a JSON line a transfer to FILE");
  const Option plant = verb.option("--plant", f->plant,
                                   "plant a wrong transfer: half its bytes, one element beside its place, not at all")
                           .one_of(kPlants);
  verb.option("--plant-at", f->plant_at, "which transfer").positive().needs(plant);
  verb.callback([f, &flags] {
    if (!f->plant.empty() && f->plant_at == 0) throw_invalid("--plant: which transfer? give --plant-at N");
    flags.exit_code = Audit(*f, flags).run();
  });
}

}  // namespace greta::runners
