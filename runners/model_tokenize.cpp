// greta model tokenize: text to token ids as {"ids":[...]}, or ids to text.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "kernels/hip/error.hpp"
#include "model/config.hpp"
#include "model/gguf.hpp"
#include "model/tokenizer.hpp"
#include "runners/command_line.hpp"
#include "runners/model_input.hpp"
#include "runners/verbs.hpp"

namespace greta::runners {
namespace {

struct TokenizeFlags {
  std::string model, text, file;
  bool decode = false, text_given = false, file_given = false;
};

/// {"ids":[1,2]}, [1,2], or numbers with spaces or commas between them.
std::vector<int32_t> parse_ids(std::string text, const std::string& where) {
  const auto refuse = [&](std::string_view what) {
    throw_invalid(
        fmt::format("model tokenize --decode: {}: {}; wanted {{\"ids\":[1,2,3]}}, [1,2,3] or 1 2 3", where, what));
  };
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || (text[first] != '{' && text[first] != '[')) {
    std::string list;  // numbers become a JSON array
    bool in_number = false;
    for (const char c : text) {
      const bool separator = c == ' ' || c == ',' || c == '\t' || c == '\r' || c == '\n';
      if (!separator && !in_number && !list.empty()) list += ',';
      if (!separator) list += c;
      in_number = !separator;
    }
    text = "[" + list + "]";
  }
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) refuse("is neither JSON nor a list of numbers");
  if (json.is_object() && !json.contains("ids")) refuse("has no field \"ids\"");
  const nlohmann::json& list = json.is_object() ? json["ids"] : json;
  if (!list.is_array()) refuse("\"ids\" is not an array");
  std::vector<int32_t> ids;
  for (const nlohmann::json& id : list) {
    if (!id.is_number_integer() || id < INT32_MIN || id > INT32_MAX)
      refuse(fmt::format("element {} is {}, not a token id", ids.size(),
                         id.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)));
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

void tokenize(const TokenizeFlags& f) {
  if (f.text_given == f.file_given)
    throw_invalid("model tokenize: wanted one of --text S and --file F (with --decode they hold ids)");
  const model::GgufFile file = model::GgufFile::open(f.model);
  model::read_config(file);  // a damaged model is refused whichever verb meets it
  const model::Tokenizer tokenizer(file);
  const std::string input = f.file_given ? read_text_file(f.file) : f.text;
  if (f.decode) {
    const std::string text = tokenizer.decode(parse_ids(input, f.file_given ? f.file : "--text"));
    std::fwrite(text.data(), 1, text.size(), stdout);  // these bytes and no newline: the text comes back as it was
    return;
  }
  fmt::print("{{\"ids\":[{}]}}\n", fmt::join(tokenizer.encode(input), ","));
}

}  // namespace

void register_model_tokenize(Command model, CommonFlags& flags) {
  auto f = std::make_shared<TokenizeFlags>();
  const Command verb = model.subcommand("tokenize", "text to token ids, or ids to text");
  verb.option("--model", f->model, "GGUF file").required().type_name("M");
  verb.on_text(
          "--text", [f](const std::string& s) { f->text = s, f->text_given = true; }, "the text itself")
      .type_name("S");
  verb.on_text(
          "--file", [f](const std::string& s) { f->file = s, f->file_given = true; }, "a file that holds the text")
      .type_name("F");
  verb.flag("--decode", f->decode,
            "text or file hold ids, {\"ids\":[1,2]} or 1 2; their text is printed, without control tokens and "
            "without a newline of its own");
  verb.callback([f, &flags] {
    refuse_records(flags, "model tokenize");
    tokenize(*f);
  });
}

}  // namespace greta::runners
