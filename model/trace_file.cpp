#include "model/trace_file.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "results/sha256.hpp"

namespace greta::model {
namespace {

namespace fs = std::filesystem;
using results::Json;

std::string file_name(const PointKey& key, DType dtype) {
  return fmt::format("p{}{}.{}.{}.zst", key.position, key.layer < 0 ? "" : fmt::format(".l{}", key.layer),
                     stage_table()[static_cast<size_t>(key.stage)].name, dtype_name(dtype));
}

void write_compressed(const std::string& path, std::span<const char> bytes) {
  std::vector<char> packed(ZSTD_compressBound(bytes.size()));
  const size_t size = ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), 3);
  if (ZSTD_isError(size)) throw Error(ErrorKind::kIo, fmt::format("{}: zstd: {}", path, ZSTD_getErrorName(size)));
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(packed.data(), static_cast<std::streamsize>(size));
  out.close();
  if (!out)
    throw Error(ErrorKind::kIo, fmt::format("{}: raw tensor cannot be written: {}", path, std::strerror(errno)));
}

PointKey key_of(const Json& line) {
  const Json& layer = line.at("layer");
  return {line.at("position").get<int64_t>(), layer.is_null() ? -1 : layer.get<int64_t>(),
          stage_index(line.at("stage").get<std::string>())};
}

}  // namespace

void TraceWriter::Close::operator()(std::FILE* f) const {
  if (f && f != stdout) std::fclose(f);
}

TraceWriter::TraceWriter(std::string path, std::string raw_folder, Json start)
    : path_(std::move(path)), raw_folder_(std::move(raw_folder)) {
  if (!raw_folder_.empty()) {
    std::error_code error;
    fs::create_directories(raw_folder_, error);
    if (error) throw_invalid(fmt::format("--raw {}: no such folder can be made: {}", raw_folder_, error.message()));
  }
  file_.reset(path_ == "-" ? stdout : std::fopen(path_.c_str(), "w"));
  if (!file_) throw_invalid(fmt::format("--out {}: cannot be written: {}", path_, std::strerror(errno)));
  Json first = {{"trace", 1}, {"event", "start"}};
  first.update(start);
  if (!raw_folder_.empty()) first["raw_folder"] = fs::absolute(raw_folder_).string();
  line(first);
}

void TraceWriter::line(const Json& object) {
  const std::string text = results::to_line(object) + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() || std::fflush(file_.get()) != 0)
    throw Error(ErrorKind::kIo, fmt::format("trace {}: cannot be written: {}; lost: {}", path_, std::strerror(errno),
                                            text.substr(0, 200)));
}

void TraceWriter::point(const PointKey& key, const TracePoint& p) {
  const PointStatistics& s = p.statistics;
  Json object = {{"position", key.position},
                 {"layer", key.layer < 0 ? Json() : Json(key.layer)},
                 {"stage", stage_table()[static_cast<size_t>(key.stage)].name},
                 {"dtype", dtype_name(p.dtype)},
                 {"sha256", p.sha256},
                 {"count", s.count},
                 {"nonzero", s.nonzero},
                 {"nan", s.nan},
                 {"inf", s.inf},
                 {"min", s.min},
                 {"max", s.max},
                 {"mean", s.mean},
                 {"rms", s.rms}};
  if (p.recomputed) object["recomputed"] = true;
  if (!raw_folder_.empty()) {
    const std::string name = file_name(key, p.dtype);
    write_compressed((fs::path(raw_folder_) / name).string(), p.raw);
    object["raw"] = name;
    raw_bytes_ += p.raw.size();
  }
  line(object);
}

void TraceWriter::end(Json summary) {
  Json last = {{"trace", 1}, {"event", "end"}};
  last.update(summary);
  line(last);
}

SavedTrace read_trace(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw_invalid(fmt::format("trace {}: cannot be read: {}", path, std::strerror(errno)));
  SavedTrace trace;
  trace.path = path;
  std::string text;
  for (int64_t number = 1; std::getline(in, text); ++number) {
    try {
      const Json line = Json::parse(text);
      if (line.contains("event")) {
        if (line.at("trace") != 1) throw_invalid("a trace of another version");
        (line.at("event") == "start" ? trace.start : trace.end) = line;
        continue;
      }
      TracePoint point;
      point.dtype = dtype_from_name(line.at("dtype").get<std::string>());
      point.sha256 = line.at("sha256").get<std::string>();
      point.recomputed = line.value("recomputed", false);
      PointStatistics& s = point.statistics;
      s.count = line.at("count"), s.nonzero = line.at("nonzero"), s.nan = line.at("nan"), s.inf = line.at("inf");
      s.min = results::number_from(line.at("min")), s.max = results::number_from(line.at("max"));
      s.mean = results::number_from(line.at("mean")), s.rms = results::number_from(line.at("rms"));
      const PointKey key = key_of(line);
      if (line.contains("raw")) trace.raw_files[key] = line.at("raw").get<std::string>();
      if (!trace.points.emplace(key, std::move(point)).second) throw_invalid("the point stands twice: " + key.text());
    } catch (const std::exception& error) {
      throw_invalid(fmt::format("trace {}, line {}: {}", path, number, error.what()));
    }
  }
  if (trace.start.is_null()) throw_invalid(fmt::format("trace {}: no first line that says what was traced", path));
  // Beside the trace, wherever both were moved together; else where they were written.
  trace.raw_folder = trace.start.value("raw_folder", std::string());
  if (!trace.raw_folder.empty()) {
    const fs::path beside = fs::path(path).parent_path() / fs::path(trace.raw_folder).filename();
    if (fs::is_directory(beside)) trace.raw_folder = beside.string();
  }
  return trace;
}

std::vector<char> SavedTrace::raw(const PointKey& key) const {
  const auto at = raw_files.find(key);
  if (at == raw_files.end())
    throw_invalid(fmt::format("trace {}: holds no raw tensor of {}; next: greta trace --raw DIR", path, key.text()));
  const std::string name = (fs::path(raw_folder) / at->second).string();
  std::ifstream in(name, std::ios::binary);
  const std::string packed(std::istreambuf_iterator<char>(in), {});
  const unsigned long long size = in ? ZSTD_getFrameContentSize(packed.data(), packed.size()) : ZSTD_CONTENTSIZE_ERROR;
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > (1ull << 32))
    throw_invalid(fmt::format("trace {}: raw tensor {} is missing or no zstd frame", path, name));
  std::vector<char> bytes(static_cast<size_t>(size));
  const size_t got = ZSTD_decompress(bytes.data(), bytes.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) || got != bytes.size() ||
      results::sha256_of(std::span<const char>(bytes)) != points.at(key).sha256)
    throw_invalid(fmt::format("trace {}: raw tensor {} is damaged: its bits are not those of the trace", path, name));
  return bytes;
}

}  // namespace greta::model
