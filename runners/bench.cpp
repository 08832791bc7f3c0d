// greta bench: times every rung through Google Benchmark and judges the rows.
#include "bench/driver.hpp"

#include <CLI/CLI.hpp>

#include "results/store.hpp"
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

int run_bench(const CommonFlags& flags, const std::string& filter, const std::vector<std::string>& extras) {
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
  options.filter = filter;
  options.flags = extras;
  options.repeat_words = repeat_words(flags);
  options.cases = bench::all_cases();
  results::Store store(flags.json, environment_here(), flags.invocation);
  return bench::run(options, store);
}

}  // namespace

void register_bench(CLI::App& app, CommonFlags& flags) {
  CLI::App* verb = app.add_subcommand("bench", "time kernels: GB/s, TFLOP/s, % of ceilings measured in the same run");
  auto filter = std::make_shared<std::string>();
  verb->add_option("--filter", *filter, "regular expression searched in operator/rung/row")->type_name("RE");
  // Google Benchmark's flags are unknown to CLI11. Unknown flags stay with the verb only when nothing falls through to
  // the program, so the verb has the common flags itself.
  verb->fallthrough(false);
  verb->allow_extras();
  add_common_flags(*verb, flags);
  verb->footer(
      "All flags of Google Benchmark work: --benchmark_list_tests, --benchmark_filter=RE, --benchmark_min_time=S,\n"
      "--benchmark_repetitions=N, --benchmark_format=console|json|csv, --benchmark_out=FILE and the others.\n"
      "Exit 1 when a timed launch gave a wrong answer or a row is faster than the measured ceilings allow.");
  verb->callback([&flags, verb, filter] { flags.exit_code = run_bench(flags, *filter, verb->remaining()); });
}

}  // namespace greta::runners
