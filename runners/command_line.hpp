// The command line as verbs see it: commands that have options, flags and commands below them. The library that parses
// (CLI11, header only) stands behind it and is included by command_line.cpp alone, because every file that includes it
// pays seconds of compile time for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace greta::runners {

/// An option or flag that was added to a command: a handle, good as long as the CommandLine. Each function adds one
/// property and returns the option again.
class Option {
 public:
  Option required() const;
  /// What --help calls the value: "FILE", "N". Without it: "TEXT", "INT" or "FLOAT".
  Option type_name(const std::string& name) const;
  /// Heading of --help under which it stands.
  Option group(const std::string& heading) const;
  /// --help shows the value that the variable has now.
  Option show_default() const;

  /// Which values are taken; any other is refused with a message that names the option.
  Option positive() const;
  Option not_negative() const;
  Option range(int least, int most) const;
  Option one_of(std::span<const char* const> names) const;
  Option one_of(std::initializer_list<const char*> names) const {
    return one_of(std::span(names.begin(), names.end()));
  }
  Option one_of(std::initializer_list<int> numbers) const;

  /// Of a list: one word holds several values with this between them.
  Option delimiter(char separator) const;
  /// When it is given twice, the last one counts. Options that are no lists refuse that otherwise.
  Option take_last() const;
  /// Of a list: takes one value each time and may be given several times.
  Option repeatable() const;

  /// Which other option must not, or must, be given beside it.
  Option excludes(Option other) const;
  Option needs(Option other) const;

 private:
  friend class Command;
  explicit Option(CLI::Option* option) : option_(option) {}
  CLI::Option* option_;
};

/// A command: the program, a verb of it, a verb below a verb, or a group of options. A handle, good as long as the
/// CommandLine, and copied freely. `names` are the spellings, comma-separated: "-n,--new-tokens"; a word without dashes
/// makes the option positional too: "out,--out". `help` is what --help says.
class Command {
 public:
  /// Inherits fallthrough() and footer() as they are now.
  Command subcommand(const std::string& name, const std::string& help) const;
  /// Options under a heading of their own, for require_option().
  Command option_group(const std::string& name, const std::string& help) const;

  /// Writes the value given to `value`, which must live until everything was parsed; what is not given leaves it alone.
  Option option(const std::string& names, std::string& value, const std::string& help) const;
  Option option(const std::string& names, int& value, const std::string& help) const;
  Option option(const std::string& names, int64_t& value, const std::string& help) const;
  Option option(const std::string& names, uint64_t& value, const std::string& help) const;
  Option option(const std::string& names, double& value, const std::string& help) const;
  Option option(const std::string& names, std::optional<std::string>& value, const std::string& help) const;
  Option option(const std::string& names, std::optional<int64_t>& value, const std::string& help) const;
  Option option(const std::string& names, std::optional<double>& value, const std::string& help) const;
  Option option(const std::string& names, std::vector<std::string>& value, const std::string& help) const;
  Option option(const std::string& names, std::vector<int>& value, const std::string& help) const;
  Option option(const std::string& names, std::vector<int64_t>& value, const std::string& help) const;
  /// Makes `value` true when given.
  Option flag(const std::string& names, bool& value, const std::string& help) const;

  /// As option() and flag(), but calls `set` when given. What `set` throws ends the parsing.
  Option on_text(const std::string& names, const std::function<void(const std::string&)>& set,
                 const std::string& help) const;
  Option on_texts(const std::string& names, const std::function<void(const std::vector<std::string>&)>& set,
                  const std::string& help) const;
  Option on_int(const std::string& names, const std::function<void(const int&)>& set, const std::string& help) const;
  Option on_uint64(const std::string& names, const std::function<void(const uint64_t&)>& set,
                   const std::string& help) const;
  Option on_flag(const std::string& names, const std::function<void()>& set, const std::string& help) const;

  /// Text below everything else that --help says.
  void footer(const std::string& text) const;
  /// Exactly one subcommand must be given.
  void require_subcommand() const;
  /// So many options of those added to this command must be given.
  void require_option(size_t least, size_t most) const;
  /// Whether options that this command does not know are looked up in the one above it.
  void fallthrough(bool allowed) const;
  /// Words that nobody knows are kept in remaining() instead of refused.
  void allow_extras() const;
  std::vector<std::string> remaining() const;

  /// Runs when the command was named, before its options are parsed.
  void before_parsing(const std::function<void()>& run) const;
  /// What the command does: runs when everything was parsed and found good.
  void callback(const std::function<void()>& run) const;

 private:
  friend class CommandLine;
  explicit Command(CLI::App* app) : app_(app) {}
  CLI::App* app_;
};

/// Why the arguments were refused.
struct Refusal {
  std::string what;                ///< in words, without the name of the program
  std::string verb;                ///< the verb that was named before; "" for none
  std::vector<std::string> verbs;  ///< that could have been named
};

/// The command line of a whole program.
class CommandLine {
 public:
  /// `version` is what --version prints.
  CommandLine(const std::string& program, const std::string& help, const std::string& version);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// The program itself, to which verbs and the flags of all of them are added.
  Command program() const;
  /// Runs when everything was parsed and found good, before the callback of the verb.
  void after_parsing(const std::function<void()>& run);
  /// Parses and runs the callbacks; what they throw passes through. --help and --version print to standard output and
  /// run none. Arguments that are not understood, or that name no verb, come back as a refusal.
  std::optional<Refusal> parse(int argc, const char* const* argv);

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace greta::runners
