#include "runners/model_input.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "model/tokenizer.hpp"
#include "runners/command_line.hpp"

namespace greta::runners {
namespace {

DType storage_type(const char* flag, const std::string& name) {
  if (name == "fp16" || name == "f16") return DType::kF16;
  if (name == "bf16") return DType::kBF16;
  throw_invalid(fmt::format("{} {}: want fp16 or bf16", flag, name));
}

std::vector<int32_t> ids_from_json(const std::string& path) {
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(read_text_file(path));
  } catch (const nlohmann::json::parse_error& error) {
    throw_invalid(fmt::format("--ids {}: not JSON: {}", path, error.what()));
  }
  const nlohmann::json& list = json.is_object() && json.contains("ids") ? json["ids"] : json;
  if (!list.is_array())
    throw_invalid(fmt::format("--ids {}: want an array of token ids, or an object with \"ids\"", path));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_number_integer() || list[i] < 0 || list[i] > INT32_MAX)
      throw_invalid(fmt::format("--ids {}: element {} is {}, want a token id", path, i, list[i].dump()));
    ids.push_back(list[i].get<int32_t>());
  }
  return ids;
}

}  // namespace

std::string read_text_file(const std::string& path) {
  // Not a stream: reading a folder through one looks like an empty file. Pipes are welcome.
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(path.c_str(), "rb"), &std::fclose);
  std::string text;
  char piece[1 << 16];
  for (size_t n = 1; in && n > 0; text.append(piece, n)) n = std::fread(piece, 1, sizeof(piece), in.get());
  if (!in || std::ferror(in.get()))
    throw_invalid(fmt::format("{}: cannot be read: {}", path, std::strerror(errno ? errno : EIO)));
  return text;
}

void IdsInput::add(Command verb, bool required) {
  const Command group = verb.option_group("input", "what the model is fed: one of");
  group.option("--ids", ids_file, "JSON file: an array of token ids, or an object with \"ids\"");
  group.option("--prompt", prompt, "text");
  group.option("--text-file", text_file, "file of text");
  group.require_option(required ? 1 : 0, 1);
  verb.option("--tokens", tokens, "use the first N token ids of the input only").positive();
}

std::vector<int32_t> IdsInput::read(const model::GgufFile& file, int64_t vocab) const {
  if (!ids_file && !prompt && !text_file)
    throw_invalid("no input: give --ids FILE.json, --prompt TEXT or --text-file FILE");
  if (prompt && prompt->empty())
    throw_invalid("--prompt '': the text is empty, and a model needs a token to start from");
  model::check_tokenizer(file);  // a damaged model is refused even where its tokenizer is not needed
  std::vector<int32_t> ids;
  if (ids_file)
    ids = ids_from_json(*ids_file);
  else
    ids = model::Tokenizer(file).encode(prompt ? *prompt : read_text_file(*text_file));
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] >= vocab)
      throw_invalid(fmt::format("token {} of the input is {}, the vocabulary has ids 0..{}", i, ids[i], vocab - 1));
  if (tokens > static_cast<int64_t>(ids.size()))
    throw_invalid(fmt::format("--tokens {}: the input has only {} tokens", tokens, ids.size()));
  if (tokens) ids.resize(static_cast<size_t>(tokens));
  if (ids.empty()) throw_invalid("the input has no tokens");
  return ids;
}

void EngineFlags::add(Command verb) {
  verb.option("--kv", kv, "fp16 or bf16: KV cache and attention tensors").show_default();
  verb.option("--act", activations, "fp16 or bf16: other activations").show_default();
}

model::EngineOptions EngineFlags::options(const CommonFlags& flags) const {
  model::EngineOptions options;
  options.kv = storage_type("--kv", kv);
  options.activations = storage_type("--act", activations);
  options.rungs = flags.rungs;
  const bool hardware_default = hip::platform_name() != "host";
  const bool hardware = flags.exp ? *flags.exp == ExpMode::kHardware : hardware_default;
  if (hardware && !hardware_default)
    throw_invalid("--exp hw: the host platform has no hardware exp2; use --exp portable");
  options.exp = hardware ? greta::ExpMode::kHardware : greta::ExpMode::kPortable;
  return options;
}

}  // namespace greta::runners
