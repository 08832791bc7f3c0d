// greta model quantize: a model in F32, F16 or BF16 to a quantised one.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "model/quantize.hpp"
#include "runners/command_line.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

struct QuantizeFlags {
  std::string from, to, type;
};

void quantize(const QuantizeFlags& f, const CommonFlags& flags) {
  refuse_records(flags, "model quantize");
  const model::QuantizeReport report =
      model::quantize_model(f.from, f.to, model::weight_mix_from_name(f.type), flags.workers);
  fmt::print("{:<32} {:<16} {:<5} {:<5} relative error (rms)\n", "tensor", "shape", "from", "to");
  for (const model::QuantizedTensor& t : report.tensors)
    fmt::print("{:<32} {:<16} {:<5} {:<5} {}\n", t.name, t.shape, dtype_name(t.from), dtype_name(t.to),
               t.from == t.to ? "copied" : fmt::format("{:.5f}", t.relative_rmse));
  for (const std::string& note : report.notes) fmt::print("note: {}\n", note);
  fmt::print("{}: {} bytes, {:.2f} of the original's {}\n", f.to, report.bytes_after,
             static_cast<double>(report.bytes_after) / static_cast<double>(report.bytes_before), report.bytes_before);
}

}  // namespace

void register_model_quantize(Command model, CommonFlags& flags) {
  auto f = std::make_shared<QuantizeFlags>();
  const Command verb = model.subcommand("quantize", "F32, F16 or BF16 model to q8_0 or q4_k_m (or any type of make)");
  verb.option("from,--from", f->from, "GGUF file to read").required().type_name("FILE");
  verb.option("to,--to", f->to, "GGUF file to write").required().type_name("FILE");
  verb.option("--type", f->type, "q8_0, q4_k_m, q4_k, q6_k, f16, bf16 or f32").required().type_name("TYPE");
  verb.callback([f, &flags] { quantize(*f, flags); });
}

}  // namespace greta::runners
