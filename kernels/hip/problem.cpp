#include "kernels/hip/problem.hpp"

#include <charconv>

namespace greta::problem_detail {

std::string format_number(double value) {
  char text[40];
  // Fields are floats: the shortest text of the float reads back to the same bits.
  const auto end = std::to_chars(text, text + sizeof text, static_cast<float>(value)).ptr;
  return {text, end};
}

double parse_number(std::string_view key, std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    throw_invalid("field '" + std::string(key) + "': want a number, got '" + std::string(text) + "'");
  return value;
}

int64_t parse_integer(std::string_view key, std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    throw_invalid("field '" + std::string(key) + "': want an integer, got '" + std::string(text) + "'");
  return value;
}

std::vector<std::pair<std::string, std::string>> split_line(std::string_view line) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (true) {
    const size_t begin = line.find_first_not_of(' ');
    if (begin == line.npos) return pairs;
    const size_t end = std::min(line.find(' ', begin), line.size());
    const std::string_view word = line.substr(begin, end - begin);
    const size_t equals = word.find('=');
    if (equals == word.npos || equals == 0)
      throw_invalid("problem line: want key=value words, got '" + std::string(word) + "'");
    pairs.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    line.remove_prefix(end);
  }
}

}  // namespace greta::problem_detail
