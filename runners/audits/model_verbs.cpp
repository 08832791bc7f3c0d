// The verbs of the audits of weights, output matrix and knobs. Each takes --defect, and on the defects that name it
// (greta audit defects --list) it must turn red.
#include <fmt/format.h>

#include <iterator>
#include <memory>
#include <utility>

#include "runners/audits/audits.hpp"
#include "runners/audits/knobs.hpp"
#include "runners/audits/layout.hpp"
#include "runners/audits/output.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

void add_defect(Command verb, std::string& defect) {
  verb.option("--defect", defect, "plant a defect of the engine (greta gate --list-defects)");
}

model::Defect defect_of(const std::string& name) {
  return name.empty() ? model::Defect::kNone : model::defect_from_name(name).defect;
}

CaseSink sink_of(AuditRecords& records) {
  return [&records](const std::string& name, const std::function<void(results::Record&)>& measure) {
    records.run(name, measure);
  };
}

constexpr std::pair<const char*, model::WeightDamage> kDamages[] = {
    {"transposed", model::WeightDamage::kTransposed},
    {"next-row", model::WeightDamage::kNextRow},
    {"next-block", model::WeightDamage::kNextBlock},
    {"swapped-halves", model::WeightDamage::kSwappedHalves},
    {"sub-block-scales", model::WeightDamage::kSubBlockScales},
    {"truncated", model::WeightDamage::kTruncated},
    {"ones", model::WeightDamage::kOnes},
};

/// "transposed:blk.1.attn_k.weight".
model::LoadFault damage_from_text(const std::string& text) {
  std::string known;
  const size_t colon = text.find(':');
  for (const auto& [name, damage] : kDamages) {
    if (text.substr(0, colon) == name && colon != std::string::npos) return {damage, text.substr(colon + 1), ""};
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  throw_invalid(fmt::format("--damage {}: wanted KIND:TENSOR, KIND one of {}", text, known));
}

struct LayoutFlags {
  std::string model, defect, damage;
  int64_t rows = 8;
};

int run_layout(const LayoutFlags& f, const CommonFlags& flags) {
  const model::GgufFile file = model::GgufFile::open(f.model);
  LayoutRequest request;
  request.file = &file, request.layers = flags.layers, request.sampled_rows = f.rows, request.seed = flags.seed;
  request.fault = model::load_fault_of(defect_of(f.defect));
  if (!f.defect.empty() && request.fault.damage == model::WeightDamage::kNone)
    throw_invalid(fmt::format("--defect {}: it is none of the loader's, no weight is damaged", f.defect));
  if (!f.damage.empty()) {
    if (!f.defect.empty()) throw_invalid("--damage and --defect: one of the two");
    request.fault = damage_from_text(f.damage);
    if (!file.find_tensor(request.fault.tensor))
      throw_invalid(fmt::format("--damage {}: {} has no tensor '{}'", f.damage, f.model, request.fault.tensor));
  }
  AuditRecords records(flags, "layout", fmt::format("model={} rows={}", f.model, f.rows), layout_cases(request));
  audit_layout(request, sink_of(records));
  return records.exit_code();
}

struct ModelFlags {
  AuditModelFlags model;
  std::string defect;
};

int run_output(const ModelFlags& f, const CommonFlags& flags) {
  AuditSubject subject = audit_subject(f.model, flags);
  subject.options.defect = defect_of(f.defect);
  const OutputRequest request{&subject.file, subject.ids, subject.options, flags.seed};
  AuditRecords records(flags, "output", fmt::format("model={} tokens={}", f.model.model, subject.ids.size()),
                       output_cases(request));
  audit_output(request, sink_of(records));
  return records.exit_code();
}

using KnobAudit = void (*)(const KnobRequest&, const CaseSink&);
using KnobCases = int64_t (*)(const KnobRequest&);

int run_knob(const char* name, KnobAudit audit, KnobCases cases, const ModelFlags& f, const CommonFlags& flags) {
  AuditSubject subject = audit_subject(f.model, flags);
  subject.options.defect = defect_of(f.defect);
  const KnobRequest request{&subject.file, subject.ids, subject.options, flags.seed};
  AuditRecords records(flags, name,
                       fmt::format("model={} tokens={} kv={}", f.model.model, subject.ids.size(), f.model.engine.kv),
                       cases(request));
  audit(request, sink_of(records));
  return records.exit_code();
}

}  // namespace

void register_audit_layout(Command audit, CommonFlags& flags) {
  const Command verb = audit.subcommand("layout", "every weight matrix, probed: the right row and no neighbour of it");
  auto f = std::make_shared<LayoutFlags>();
  verb.option("--model", f->model, "GGUF file").required();
  verb.option("--rows", f->rows, "rows sampled of each matrix").range(2, 4096).show_default();
  verb.option("--damage", f->damage,
              "KIND:TENSOR, damage a tensor on its way to the device: transposed, next-row, next-block,\n"
              "swapped-halves, sub-block-scales, truncated or ones");
  add_defect(verb, f->defect);
  verb.callback([f, &flags] { flags.exit_code = run_layout(*f, flags); });
}

void register_audit_output(Command audit, CommonFlags& flags) {
  const Command verb = audit.subcommand("output", "the hidden row that was read, and the logits by every matmul rung");
  auto f = std::make_shared<ModelFlags>();
  f->model.add(verb);
  add_defect(verb, f->defect);
  verb.callback([f, &flags] { flags.exit_code = run_output(*f, flags); });
}

void register_audit_knobs(Command audit, CommonFlags& flags) {
  struct Row {
    const char* name;
    const char* what;
    KnobAudit audit;
    KnobCases cases;
  };
  static constexpr Row kRows[] = {
      {"dtype", "fp16 against bf16: symbols, buffers and logits must differ", audit_dtype,
       [](const KnobRequest&) { return kDtypeCases; }},
      {"batch", "one sequence among 1, 2, 4, 8: equal bits by other launches", audit_batch,
       [](const KnobRequest&) { return static_cast<int64_t>(std::size(kBatchSizes)); }},
      {"kv-aligned", "KV rows are read from where the flag says, and they decide", audit_kv_aligned,
       [](const KnobRequest&) { return kKvAlignedCases; }},
      {"seed", "other neighbours in a batch by another seed, and the same bits of everything else", audit_seed,
       [](const KnobRequest&) { return kSeedCases; }},
      {"attention", "every attention rung: the symbol that runs is the one asked for", audit_attention,
       attention_cases},
  };
  for (const Row& row : kRows) {
    const Command verb = audit.subcommand(row.name, row.what);
    auto f = std::make_shared<ModelFlags>();
    f->model.add(verb);
    add_defect(verb, f->defect);
    verb.callback([f, &flags, &row] { flags.exit_code = run_knob(row.name, row.audit, row.cases, *f, flags); });
  }
}

}  // namespace greta::runners
