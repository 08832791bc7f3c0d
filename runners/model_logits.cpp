// greta model logits: the logits of a list of token ids, by any path, as raw floats.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <Eigen/Core>
#include <cerrno>
#include <cstring>
#include <memory>

#include "model/config.hpp"
#include "model/engine_rounding.hpp"
#include "runners/command_line.hpp"
#include "runners/gates/side.hpp"
#include "runners/model_input.hpp"

namespace greta::runners {
namespace {

struct LogitsFlags {
  std::string model, path = "prefill", out;
  IdsInput input;
  EngineFlags engine;
};

/// Writes all or throws: a short file would be read as fewer positions.
void write_floats(const std::string& path, std::span<const float> values) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) throw_invalid(fmt::format("--out {}: cannot be opened for writing: {}", path, std::strerror(errno)));
  const char* at = reinterpret_cast<const char*>(values.data());
  size_t left = values.size_bytes();
  while (left) {
    const ssize_t done = ::write(file, at, left);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      const std::string why = std::strerror(done < 0 ? errno : ENOSPC);
      ::close(file);
      throw Error(ErrorKind::kIo, fmt::format("--out {}: {} of {} bytes written: {}", path, values.size_bytes() - left,
                                              values.size_bytes(), why));
    }
    at += done, left -= static_cast<size_t>(done);
  }
  if (::close(file) != 0) throw Error(ErrorKind::kIo, fmt::format("--out {}: {}", path, std::strerror(errno)));
}

int run_logits(const LogitsFlags& f, const CommonFlags& flags) {
  const SideSpec side = side_from_text("--path", f.path);
  const model::GgufFile file = model::GgufFile::open(f.model);
  const model::LlamaConfig config = model::read_config(file);
  const std::vector<int32_t> ids = f.input.read(file, config.vocab_size);
  if (static_cast<int64_t>(ids.size()) > config.context_length)
    throw_invalid(fmt::format("{} tokens are more than the model's context of {}; shorten the input", ids.size(),
                              config.context_length));
  std::vector<float> logits;
  if (side.kind == SideSpec::Kind::kReference) {
    const auto exact = model::reference_logits(file, config, ids);
    logits.assign(exact.data(), exact.data() + exact.size());
  } else {
    hip::Stream stream("upload");
    const auto weights = model::load_weights(file, stream);
    logits = run_side(weights, f.engine.options(flags), {side, ids, 0, false, flags.seed}).logits;
  }
  write_floats(f.out, logits);
  fmt::print("{}: {} positions x {} logits, little-endian float32, path {}\n", f.out, ids.size(), config.vocab_size,
             side.text());
  return kGreen;
}

}  // namespace

void register_model_logits(Command app, CommonFlags& flags) {
  const Command verb =
      app.subcommand("logits", "logits of every position of an input, to a file of raw floats [n_tokens, vocab]");
  auto f = std::make_shared<LogitsFlags>();
  verb.option("--model", f->model, "GGUF file").required();
  f->input.add(verb);
  f->engine.add(verb);
  verb.option("--path", f->path, "prefill | decode | chunk:N | batch:N | reference").show_default();
  verb.option("--out", f->out, "file to write").required();
  verb.callback([f, &flags] { flags.exit_code = run_logits(*f, flags); });
}

}  // namespace greta::runners
