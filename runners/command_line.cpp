#include "runners/command_line.hpp"

#include <CLI/CLI.hpp>

namespace greta::runners {

Option Option::required() const { return Option(option_->required()); }
Option Option::type_name(const std::string& name) const { return Option(option_->type_name(name)); }
Option Option::group(const std::string& heading) const { return Option(option_->group(heading)); }
Option Option::show_default() const { return Option(option_->capture_default_str()); }

Option Option::positive() const { return Option(option_->check(CLI::PositiveNumber)); }
Option Option::not_negative() const { return Option(option_->check(CLI::NonNegativeNumber)); }
Option Option::range(int least, int most) const { return Option(option_->check(CLI::Range(least, most))); }
Option Option::one_of(std::span<const char* const> names) const {
  return Option(option_->check(CLI::IsMember(std::vector<std::string>(names.begin(), names.end()))));
}
Option Option::one_of(std::initializer_list<int> numbers) const {
  return Option(option_->check(CLI::IsMember(std::vector<int>(numbers))));
}

Option Option::delimiter(char separator) const { return Option(option_->delimiter(separator)); }
Option Option::take_last() const { return Option(option_->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)); }
Option Option::repeatable() const {
  return Option(option_->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
}

Option Option::excludes(Option other) const { return Option(option_->excludes(other.option_)); }
Option Option::needs(Option other) const { return Option(option_->needs(other.option_)); }

Command Command::subcommand(const std::string& name, const std::string& help) const {
  return Command(app_->add_subcommand(name, help));
}
Command Command::option_group(const std::string& name, const std::string& help) const {
  return Command(app_->add_option_group(name, help));
}

Option Command::option(const std::string& names, std::string& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::option(const std::string& names, int& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::option(const std::string& names, int64_t& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::option(const std::string& names, uint64_t& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::option(const std::string& names, double& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::option(const std::string& names, std::optional<std::string>& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::option(const std::string& names, std::optional<int64_t>& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::option(const std::string& names, std::optional<double>& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::option(const std::string& names, std::vector<std::string>& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::option(const std::string& names, std::vector<int>& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::option(const std::string& names, std::vector<int64_t>& value, const std::string& help) const {
  return Option(app_->add_option(names, value, help));
}
Option Command::flag(const std::string& names, bool& value, const std::string& help) const {
  return Option(app_->add_flag(names, value, help));
}

Option Command::on_text(const std::string& names, const std::function<void(const std::string&)>& set,
                        const std::string& help) const {
  return Option(app_->add_option_function<std::string>(names, set, help));
}
Option Command::on_texts(const std::string& names, const std::function<void(const std::vector<std::string>&)>& set,
                         const std::string& help) const {
  return Option(app_->add_option_function<std::vector<std::string>>(names, set, help));
}
Option Command::on_int(const std::string& names, const std::function<void(const int&)>& set,
                       const std::string& help) const {
  return Option(app_->add_option_function<int>(names, set, help));
}
Option Command::on_uint64(const std::string& names, const std::function<void(const uint64_t&)>& set,
                          const std::string& help) const {
  return Option(app_->add_option_function<uint64_t>(names, set, help));
}
Option Command::on_flag(const std::string& names, const std::function<void()>& set, const std::string& help) const {
  return Option(app_->add_flag_callback(names, set, help));
}

void Command::footer(const std::string& text) const { app_->footer(text); }
void Command::require_subcommand() const { app_->require_subcommand(1); }
void Command::require_option(size_t least, size_t most) const { app_->require_option(least, most); }
void Command::fallthrough(bool allowed) const { app_->fallthrough(allowed); }
void Command::allow_extras() const { app_->allow_extras(); }
std::vector<std::string> Command::remaining() const { return app_->remaining(); }

void Command::before_parsing(const std::function<void()>& run) const {
  app_->preparse_callback([run](size_t) { run(); });
}
void Command::callback(const std::function<void()>& run) const { app_->callback(run); }

CommandLine::CommandLine(const std::string& program, const std::string& help, const std::string& version)
    : app_(std::make_unique<CLI::App>(help, program)) {
  app_->set_version_flag("--version", version);
}
CommandLine::~CommandLine() = default;

Command CommandLine::program() const { return Command(app_.get()); }

void CommandLine::after_parsing(const std::function<void()>& run) { app_->parse_complete_callback(run); }

std::optional<Refusal> CommandLine::parse(int argc, const char* const* argv) {
  try {
    app_->parse(argc, argv);
    if (app_->get_subcommands().empty()) throw CLI::RequiredError("A verb");
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {  // --help or --version
      app_->exit(error);
      return std::nullopt;
    }
    Refusal refusal{error.what(), "", {}};
    if (!app_->get_subcommands().empty()) refusal.verb = app_->get_subcommands().front()->get_name();
    for (const CLI::App* verb : app_->get_subcommands([](CLI::App*) { return true; }))
      refusal.verbs.push_back(verb->get_name());
    return refusal;
  }
}

}  // namespace greta::runners
