// greta bench: times every rung through Google Benchmark and judges the rows.
#include "bench/driver.hpp"

#include <fstream>
#include <iostream>
#include <memory>

#include "results/bench_page.hpp"
#include "results/store.hpp"
#include "runners/command_line.hpp"
#include "runners/model_bench.hpp"
#include "runners/model_input.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

std::string repeat_words(const CommonFlags& flags) {
  std::string words;
  if (flags.wave) words += " --wave " + std::to_string(*flags.wave);
  if (flags.workers) words += " --workers " + std::to_string(flags.workers);
  if (flags.exp) words += *flags.exp == ExpMode::kHardware ? " --exp hw" : " --exp portable";
  return words;
}

struct BenchFlags {
  std::string filter, model, shape, page, peers;
  std::vector<int64_t> prompts, cached;
  EngineFlags engine;
};

/// On host the committed sample, which a CPU gets through; elsewhere the shape of Llama-3-8B.
ModelBench model_bench(const CommonFlags& flags, const BenchFlags& f) {
  const bool host = hip::platform_name() == "host";
  ModelBench bench;
  bench.model = f.model, bench.shape = f.shape;
  if (f.model.empty() && f.shape.empty()) {
    if (host)
      bench.model = std::string(GRETA_SOURCE_DIR) + "/model/samples/sample-llama-a.q4_k_m.gguf";
    else
      bench.shape = "llama3-8b";
  }
  bench.engine = f.engine.options(flags);
  bench.prompts =
      f.prompts.empty() ? (host ? std::vector<int64_t>{64} : std::vector<int64_t>{512, 4096, 8192, 16384}) : f.prompts;
  bench.cached =
      f.cached.empty() ? (host ? std::vector<int64_t>{0, 64} : std::vector<int64_t>{0, 8192, 32768}) : f.cached;
  return bench;
}

/// Tables of a file of records instead of a run.
int print_page(const std::string& records, const std::string& peers) {
  const results::StoredFile file = results::read_records(records);
  if (!file.bad_lines.empty()) throw_invalid("bench --page " + records + ": " + file.bad_lines.front());
  results::Json figures = results::Json::array();
  if (!peers.empty()) {
    std::ifstream in(peers);
    figures = results::Json::parse(in, nullptr, false);
    if (!figures.is_array()) throw_invalid("bench --peers " + peers + ": wanted a JSON array of figures");
  }
  std::cout
      << "# Measured speed\n\nMade by `greta bench --page " << records << (peers.empty() ? "" : " --peers " + peers)
      << "`; do not edit. Medians of launches back to back, inputs cold\nunless a row says otherwise; ceilings of "
         "the same run. Every row's answer was checked.\n\n"
      << results::bench_page(file.runs, figures);
  return kGreen;
}

int run_bench(const CommonFlags& flags, const BenchFlags& f, const std::vector<std::string>& extras) {
  if (!f.page.empty()) return print_page(f.page, f.peers);
  for (const std::string& extra : extras)
    if (!extra.starts_with("--benchmark_"))
      throw_invalid("unknown argument '" + extra +
                    "'; beside its own flags, bench takes Google Benchmark's (--benchmark_...)");
  // Guard zones are looked at after every launch in checked mode; verify does that, a timing must not.
  hip::ExecConfig config = hip::exec_config();
  config.checked = false;
  hip::set_exec_config(config);

  bench::RunOptions options;
  options.inputs.seed = flags.seed;
  options.inputs.exp = flags.exp.value_or(hip::platform_name() == "host" ? ExpMode::kPortable : ExpMode::kHardware);
  options.filter = f.filter;
  options.flags = extras;
  options.repeat_words = repeat_words(flags);
  options.cases = bench::all_cases();
  add_model_cases(options.cases, model_bench(flags, f));
  results::Store store(flags.json, environment_here(), flags.invocation);
  return bench::run(options, store);
}

}  // namespace

void register_bench(Command app, CommonFlags& flags) {
  const Command verb = app.subcommand("bench", "time kernels: GB/s, TFLOP/s, % of ceilings measured in the same run");
  auto f = std::make_shared<BenchFlags>();
  verb.option("--filter", f->filter, "regular expression searched in operator/rung/row").type_name("RE");
  const Option model =
      verb.option("--model", f->model, "GGUF file of the model_* rows (host: the sample; else a made Llama-3-8B)")
          .type_name("FILE");
  verb.option("--shape", f->shape, "make a Q4_K_M model of that shape in the temporary folder for the model_* rows")
      .excludes(model)
      .type_name("NAME");
  verb.option("--prompts", f->prompts, "tokens of model_prefill, e.g. 512,4096")
      .delimiter(',')
      .positive()
      .type_name("N,..");
  verb.option("--cached", f->cached, "cached positions of model_decode, e.g. 0,8192")
      .delimiter(',')
      .not_negative()
      .type_name("N,..");
  const Option page =
      verb.option("--page", f->page, "instead: print the tables of a file of records (--json) as Markdown")
          .type_name("FILE");
  verb.option("--peers", f->peers, "with --page: JSON file of what other programs reach, to stand beside")
      .needs(page)
      .type_name("FILE");
  f->engine.add(verb);
  // Google Benchmark's flags are unknown here. Unknown flags stay with the verb only when nothing falls through to the
  // program, so the verb has the common flags itself.
  verb.fallthrough(false);
  verb.allow_extras();
  add_common_flags(verb, flags);
  verb.footer(
      "All flags of Google Benchmark work: --benchmark_list_tests, --benchmark_filter=RE, --benchmark_min_time=S,\n"
      "--benchmark_repetitions=N, --benchmark_format=console|json|csv, --benchmark_out=FILE and the others.\n"
      "Exit 1 when a timed launch gave a wrong answer or a row is faster than the measured ceilings allow.");
  verb.callback([&flags, verb, f] { flags.exit_code = run_bench(flags, *f, verb.remaining()); });
}

}  // namespace greta::runners
