#include "runners/source_lints.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "kernels/hip/error.hpp"

namespace greta::runners {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRooms[] = {"kernels", "reference", "results", "verify", "bench", "model", "runners"};
constexpr std::string_view kSuffixes[] = {".cpp", ".hpp", ".h", ".hip", ".cu"};

bool starts_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

bool is_test(std::string_view path) {
  return path.find("_test.") != std::string_view::npos || path.find("/testing/") != std::string_view::npos;
}

/// Calls found(line number, line) for each line of the text.
template <class F>
void each_line(const std::string& text, F found) {
  std::istringstream in(text);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) found(number, line);
}

Findings matches(const std::vector<SourceFile>& files, const std::regex& pattern, const std::string& advice,
                 bool (*applies)(const std::string& path)) {
  Findings findings;
  for (const SourceFile& file : files) {
    if (!applies(file.path)) continue;
    each_line(without_comments(file.text, false), [&](int number, const std::string& line) {
      std::smatch match;
      if (std::regex_search(line, match, pattern))
        findings.push_back(fmt::format("{}:{}: '{}' {}", file.path, number, match.str(), advice));
    });
  }
  return findings;
}

/// Index after the literal that opens at `i`; handles R"x(...)x".
size_t end_of_literal(std::string_view text, size_t i) {
  if (text[i] == '"' && i > 0 && text[i - 1] == 'R') {
    const size_t open = text.find('(', i);
    if (open == std::string_view::npos) return text.size();
    const std::string close = ")" + std::string(text.substr(i + 1, open - i - 1)) + "\"";
    const size_t end = text.find(close, open);
    return end == std::string_view::npos ? text.size() : end + close.size();
  }
  const char quote = text[i];
  for (++i; i < text.size() && text[i] != quote && text[i] != '\n'; ++i)
    if (text[i] == '\\') ++i;
  return std::min(i + 1, text.size());
}

bool is_digit_separator(std::string_view text, size_t i) {
  return text[i] == '\'' && i > 0 && std::isxdigit(static_cast<unsigned char>(text[i - 1])) && i + 1 < text.size() &&
         std::isxdigit(static_cast<unsigned char>(text[i + 1])) && !(i > 1 && text[i - 2] == '\'');
}

}  // namespace

std::vector<SourceFile> read_sources(const std::string& root) {
  std::vector<SourceFile> files;
  for (const char* room : kRooms) {
    const fs::path folder = fs::path(root) / room;
    if (!fs::is_directory(folder)) throw_invalid(fmt::format("no folder '{}': is this the tree?", folder.string()));
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      const std::string suffix = entry.path().extension().string();
      if (!entry.is_regular_file() ||
          std::find(std::begin(kSuffixes), std::end(kSuffixes), suffix) == std::end(kSuffixes))
        continue;
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      files.push_back({entry.path().lexically_relative(root).string(), text.str()});
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

std::string without_comments(std::string_view text, bool keep_literals) {
  std::string out(text);
  const auto blank = [&out](size_t begin, size_t end) {
    for (size_t k = begin; k < end; ++k)
      if (out[k] != '\n') out[k] = ' ';
  };
  for (size_t i = 0; i < text.size();) {
    if (starts_with(text.substr(i), "//")) {
      const size_t end = std::min(text.find('\n', i), text.size());
      blank(i, end);
      i = end;
    } else if (starts_with(text.substr(i), "/*")) {
      const size_t close = text.find("*/", i + 2);
      const size_t end = close == std::string_view::npos ? text.size() : close + 2;
      blank(i, end);
      i = end;
    } else if ((text[i] == '"' || text[i] == '\'') && !is_digit_separator(text, i)) {
      const size_t end = end_of_literal(text, i);
      if (!keep_literals) blank(i, end);
      i = end;
    } else {
      ++i;
    }
  }
  return out;
}

Findings lint_raw_calls(const std::vector<SourceFile>& files) {
  static const std::regex raw(R"(\b(hip|cuda)[A-Z]\w*|<<<)");
  return matches(files, raw, "outside kernels/hip; use DeviceBuffer, Stream and launch()",
                 [](const std::string& path) { return !starts_with(path, "kernels/hip/"); });
}

Findings lint_command_line_library(const std::vector<SourceFile>& files) {
  static const std::regex include(R"(^\s*#\s*include\s*<CLI/[^>]*>)");
  return matches(files, include, "costs seconds of compile time in every file; include runners/command_line.hpp",
                 [](const std::string& path) { return path != "runners/command_line.cpp"; });
}

Findings lint_length(const std::vector<SourceFile>& files) {
  Findings findings;
  for (const SourceFile& file : files) {
    const auto lines = std::count(file.text.begin(), file.text.end(), '\n');
    if (lines > kMaxLines)
      findings.push_back(
          fmt::format("{}:{}: {} lines; a file is one reading, at most {}", file.path, lines, lines, kMaxLines));
    each_line(file.text, [&](int number, const std::string& line) {
      const auto columns = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; });  // UTF-8
      if (columns > kMaxColumns)
        findings.push_back(fmt::format("{}:{}: {} columns, at most {}", file.path, number, columns, kMaxColumns));
    });
  }
  return findings;
}

Findings lint_quiet_kernels(const std::vector<SourceFile>& files) {
  static const std::regex loud(
      R"(\b((v|f|vf|d)?printf|puts|putchar|perror|fwrite|fputs|cout|cerr|clog|secure_getenv|getenv)\b|)"
      R"(\bfmt::print\b|\b(_exit|_Exit|exit|quick_exit|abort|terminate)\s*\()");
  return matches(files, loud, "in kernels; throw greta::Error and let the runners speak",
                 [](const std::string& path) { return starts_with(path, "kernels/") && !is_test(path); });
}

}  // namespace greta::runners
