// House rules that a compiler does not know, checked on the text of the sources. Each lint takes the files as data, so
// that its test can plant a violation and see it found.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace greta::runners {

struct SourceFile {
  std::string path;  ///< from the root of the tree: "kernels/hip/error.hpp"
  std::string text;
};

/// "path:line: what, and what to do instead".
using Findings = std::vector<std::string>;

/// Every .cpp, .hpp, .h, .hip and .cu of the rooms under `root`, by path. Throws kInvalidArgument when a room is
/// missing.
std::vector<SourceFile> read_sources(const std::string& root);

/// The text with comments blanked, and with string and character literals blanked too unless they are to be kept. Lines
/// stay where they are.
std::string without_comments(std::string_view text, bool keep_literals);

/// Device memory, copies and launches belong to kernels/hip alone: no hipXxx, no cudaXxx and no <<< >>> elsewhere.
Findings lint_raw_calls(const std::vector<SourceFile>& files);

/// Layers, ground first; a file includes what lies in its own room or in a lower one:
///   kernels/hip < kernels/tile < kernels/<operator> < reference < results < verify < bench < model < runners
/// Operators may use each other, but not in a circle. The reference, and every *_problem.hpp, reach no header of the
/// device runtime, also not through others. An include in quotes names a file from the root of the tree.
Findings lint_includes(const std::vector<SourceFile>& files);

/// CLI11, which parses the command line, costs seconds of compile time wherever it is included:
/// runners/command_line.cpp alone includes it.
Findings lint_command_line_library(const std::vector<SourceFile>& files);

/// A file is one reading, and a line fits the screen (clang-format leaves comments as they are).
inline constexpr int kMaxLines = 500;
inline constexpr int kMaxColumns = 120;
Findings lint_length(const std::vector<SourceFile>& files);

/// Kernels and their runtime do not print, read the environment, or end the process; tests of kernels may.
Findings lint_quiet_kernels(const std::vector<SourceFile>& files);

}  // namespace greta::runners
