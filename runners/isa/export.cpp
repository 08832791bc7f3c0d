#include "runners/isa/export.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "kernels/hip/error.hpp"
#include "runners/isa/capture.hpp"
#include "runners/isa/export_draws.hpp"
#include "runners/isa/host_symbols.hpp"
#include "verify/defects/run_defective_attention.hpp"
#include "verify/exec_knobs.hpp"
#include "verify/operator.hpp"

namespace greta::runners::isa {
namespace {

namespace fs = std::filesystem;
using results::Json;
using results::Verdict;
using Kind = hip::Parameter::Kind;

constexpr const char* kPortable = "7ExpModeE0E";  // in mangled template arguments
constexpr const char* kHardware = "7ExpModeE1E";

template <class T>
T scalar(const Bytes& bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Json scalar_argument(const CapturedArgument& a, const std::string& name) {
  Json json = {{"name", name}};
  const auto put = [&](const char* kind, Json value) { json["kind"] = kind, json["value"] = std::move(value); };
  switch (a.parameter.kind) {
    case Kind::kPointer:
      put("u64", 0);
      break;  // null
    case Kind::kF32: {
      const float f = scalar<float>(a.before);
      if (!std::isfinite(f))
        put("bytes", fmt::format("{:02x}", fmt::join(a.before, "")));  // JSON has no such number
      else
        put("f32", f);
      break;
    }
    case Kind::kI32:
      put("i32", scalar<int32_t>(a.before));
      break;
    case Kind::kU32:
      put("u32", scalar<uint32_t>(a.before));
      break;
    case Kind::kI64:
      put("i64", scalar<int64_t>(a.before));
      break;
    case Kind::kU64:
      put("u64", scalar<uint64_t>(a.before));
      break;
    case Kind::kBytes:
      put("bytes", fmt::format("{:02x}", fmt::join(a.before, "")));
      break;
  }
  return json;
}

bool is_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }
double spacing(DType dtype) { return dtype == DType::kF16 ? 0x1p-10 : dtype == DType::kBF16 ? 0x1p-7 : 0x1p-23; }

double largest(const CapturedArgument& a) {
  double most = 0;
  const auto take = [&](double value) {
    if (std::isfinite(value)) most = std::max(most, std::abs(value));
  };
  const size_t size = a.dtype == DType::kF32 ? 4 : 2;
  for (size_t at = 0; at + size <= a.before.size(); at += size) {
    if (a.dtype == DType::kF32) {
      float f;
      std::memcpy(&f, a.before.data() + at, 4);
      take(static_cast<double>(f));
    } else {
      uint16_t bits;
      std::memcpy(&bits, a.before.data() + at, 2);
      take(static_cast<double>(a.dtype == DType::kF16 ? to_f32(half_t{bits}) : to_f32(bf16_t{bits})));
    }
  }
  return most;
}

/// How far an instance with the hardware's exp2 may be from the portable one. The two exp2 differ by at most 2^-21
/// relative (1 ulp of v_exp_f32 and 2 of the polynomial, rounded up), and then
///   elementwise (SwiGLU)  a few more roundings of the result: 2^-18 relative, and one spacing of its type
///   attention             sums of p_j v_j / sum p_j: each p changes by 2^-21 and, where it is rounded to the type of
///   V, by
///                         one spacing, so that an output changes by (2^-18 + 2 spacing of V) max|v|, then is rounded.
///                         A workspace of a split holds sums that are not divided yet, over at most 512 keys.
Json tolerance(const CapturedLaunch& launch, const CapturedArgument& output) {
  const double own = spacing(output.dtype);
  for (const CapturedArgument& a : launch.arguments)
    if (a.name == "v" && is_float(a.dtype)) {
      const double sums = output.dtype == DType::kF32 ? 512 : 1;
      return {{"type", dtype_name(output.dtype)},
              {"atol", (0x1p-18 + 2 * spacing(a.dtype) + own) * sums * std::max(1.0, largest(a))},
              {"rtol", own}};
    }
  return {{"type", dtype_name(output.dtype)}, {"atol", 1e-30}, {"rtol", 0x1p-18 + 2 * own}};
}

class Exporter {
 public:
  Exporter(const ExportOptions& options, const std::vector<CodeObject>& objects)
      : options_(options), filter_(options.filter), objects_(objects), folder_(options.folder) {
    for (const CodeObject& object : objects)
      for (const Kernel& kernel : object.kernels) homes_[kernel.symbol].push_back(&object);
    std::error_code error;
    if (fs::exists(folder_ / "manifest.json")) {
      fs::remove_all(folder_ / "data", error), fs::remove_all(folder_ / "objects", error);
      fs::remove(folder_ / "manifest.json", error);
    } else if (fs::exists(folder_) && !fs::is_empty(folder_)) {
      throw_invalid(fmt::format("greta isa --export {}: not empty and no earlier export", options.folder));
    }
    fs::create_directories(folder_ / "data", error);
    if (!error) fs::create_directories(folder_ / "objects", error);
    std::ofstream(folder_ / "manifest.json") << "[]\n";  // the folder is ours, also when this run breaks off
    if (error) throw Error(ErrorKind::kIo, fmt::format("greta isa --export {}: {}", options.folder, error.message()));
  }

  bool wanted(const std::string& name) const { return std::regex_search(name, filter_); }

  /// The launches as cases of another instance of their kernels: `from` in the symbol becomes `to`.
  void add_instance(const std::string& name, const std::vector<CapturedLaunch>& launches, const std::string& from,
                    const std::string& to) {
    for (const CapturedLaunch& launch : launches)
      for (auto [object, symbol] : homes_of(launch)) {
        const size_t at = symbol.find(from);
        if (at != std::string::npos) symbol.replace(at, from.size(), to);
        if (at == std::string::npos || !has(*object, symbol))
          throw_invalid(fmt::format("greta isa --export: {} holds no kernel {}", object->name, symbol));
        write(name, *object, symbol, launch, false);
      }
  }

  void add(const std::string& name, const std::vector<CapturedLaunch>& launches) {
    for (size_t i = 0; i < launches.size(); ++i) {
      const CapturedLaunch& launch = launches[i];
      const auto homes = homes_of(launch);
      for (const auto& [object, symbol] : homes) {
        std::string title = launches.size() == 1 ? name : fmt::format("{} #{}", name, i + 1);
        if (homes.size() > 1) title += " of " + object->name;
        write(title, *object, symbol, launch, false);
        std::string hardware = symbol;
        if (const size_t at = symbol.find(kPortable); at != std::string::npos)
          hardware.replace(at, std::strlen(kPortable), kHardware);
        if (hardware != symbol && has(*object, hardware)) write(title + " exp=hw", *object, hardware, launch, true);
      }
    }
  }

  void write_manifest() const {
    const std::string path = (folder_ / "manifest.json").string();
    std::ofstream out(path);
    out << "[\n";
    for (size_t i = 0; i < cases_.size(); ++i) out << cases_[i].dump() << (i + 1 < cases_.size() ? ",\n" : "\n");
    out << "]\n";
    out.close();
    if (!out) throw Error(ErrorKind::kIo, fmt::format("greta isa --export: {} could not be written", path));
    fmt::print("{} cases in {}\n", cases_.size(), path);
    if (cases_.empty()) throw_invalid(fmt::format("greta isa --export: no case matches '{}'", options_.filter));
  }

  /// One record a kernel of the code objects.
  void report(results::Store& store) const {
    for (const CodeObject& object : objects_)
      for (const Kernel& kernel : object.kernels) {
        const bool done = launched_.count(object.name + " " + kernel.symbol) > 0;
        if (!done && !options_.filter.empty()) continue;
        results::Record record;
        record.kind = "isa_export";
        record.kernel = object.name.substr(0, object.name.find('/')),
        record.rung = object.name.substr(object.name.find('/') + 1);
        record.case_name = kernel.name, record.seed = options_.seed;
        record.repeat = fmt::format("greta isa --export DIR --seed {}", options_.seed);
        record.outcome = {Verdict::kPass, ""};
        if (!done) {
          record.outcome = {Verdict::kFail, "no case launches this kernel: add a line to runners/isa/export_draws.cpp"};
          for (const NotLaunched& row : not_launched())
            if (object.name == row.object && std::regex_match(kernel.name, std::regex(row.kernel)))
              record.outcome = {Verdict::kSkip, row.why};
          fmt::print("{} {} {}: {}\n", results::verdict_name(record.outcome.verdict), object.name, kernel.name,
                     record.outcome.reason);
        }
        store.end(store.begin(record), record);
      }
  }

 private:
  bool has(const CodeObject& object, const std::string& symbol) const {
    const auto found = homes_.find(symbol);
    return found != homes_.end() && std::count(found->second.begin(), found->second.end(), &object);
  }

  /// The code objects and symbol of a launch. Two objects may have kernels of one name in anonymous namespaces: then it
  /// is the one whose source launched it. A template of a header is in every object that uses it: each is a case.
  std::vector<std::pair<const CodeObject*, std::string>> homes_of(const CapturedLaunch& launch) const {
    const std::vector<std::string>& names = symbols_.at(launch.kernel);
    std::vector<std::pair<const CodeObject*, std::string>> found, here;
    for (const std::string& name : names) {
      const auto home = homes_.find(name);
      if (home == homes_.end()) continue;
      for (const CodeObject* object : home->second) {
        found.emplace_back(object, name);
        if (std::string_view(launch.shape.where.file_name()).ends_with("kernels/" + object->name + ".hip"))
          here.emplace_back(object, name);
      }
    }
    const bool shared = names.front().find("_GLOBAL__N_") == std::string::npos;
    if (found.size() > 1 && here.size() == 1 && !shared) found = here;
    if (found.size() == 1 || (shared && !found.empty())) return found;
    throw_invalid(fmt::format(
        "greta isa --export: launch of {} at {}:{}: its symbol {} is in {} code objects, must be in 1",
        launch.shape.kernel, launch.shape.where.file_name(), launch.shape.where.line(), names.front(), found.size()));
  }

  std::string file(const std::string& name, const Bytes& bytes) {
    const std::string path = "data/" + name;
    std::ofstream out(folder_ / path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out.close();
    if (!out)
      throw Error(ErrorKind::kIo, fmt::format("greta isa --export: {}/{} could not be written", options_.folder, path));
    return path;
  }

  void write(const std::string& name, const CodeObject& object, const std::string& symbol, const CapturedLaunch& launch,
             bool tolerant) {
    launched_.insert(object.name + " " + symbol);
    if (!wanted(name)) return;
    if (!names_.insert(name).second) throw_invalid(fmt::format("greta isa --export: two cases are called '{}'", name));
    std::string object_file = object.name;
    std::replace(object_file.begin(), object_file.end(), '/', '.');
    object_file = "objects/" + object_file + ".co";
    if (!fs::exists(folder_ / object_file)) fs::copy_file(object.path, folder_ / object_file);

    const hip::LaunchShape& s = launch.shape;
    Json json = {{"case", name},
                 {"code_object", object_file},
                 {"symbol", symbol},
                 {"grid", {s.grid.x, s.grid.y, s.grid.z}},
                 {"block", {s.block.x, s.block.y, s.block.z}},
                 {"lds_bytes", s.dynamic_lds_bytes},
                 {"kernel", s.kernel},
                 {"args", Json::array()}};
    const size_t number = cases_.size();
    for (size_t i = 0; i < launch.arguments.size(); ++i) {
      const CapturedArgument& a = launch.arguments[i];
      if (!a.is_buffer()) {
        json["args"].push_back(scalar_argument(a, a.name.empty() ? std::to_string(i) : a.name));
        continue;
      }
      const std::string stem = fmt::format("{}.{}", number, a.name);
      Json buffer = {
          {"name", a.name}, {"kind", "buffer"}, {"file", file(stem + ".bin", a.before)}, {"direction", a.direction}};
      if (a.direction != "in") {
        buffer["expected"] = file(stem + ".expected.bin", a.after);
        buffer["compare"] = tolerant && is_float(a.dtype) ? tolerance(launch, a) : Json("bits");
      }
      json["args"].push_back(std::move(buffer));
    }
    cases_.push_back(std::move(json));
  }

  const ExportOptions& options_;
  std::regex filter_;
  const std::vector<CodeObject>& objects_;
  fs::path folder_;
  HostSymbols symbols_;
  std::map<std::string, std::vector<const CodeObject*>> homes_;
  std::set<std::string> names_, launched_;
  std::vector<Json> cases_;
};

/// As the MI300X runs it: waves of 64, CDNA3 matrix tiles.
hip::ExecConfig as_mi300x() {
  hip::ExecConfig config = hip::exec_config();
  config.wave = 64;
  config.matrix_model = MatrixModel::kCdna3;
  return config;
}

}  // namespace

void export_cases(const ExportOptions& options, const Toolchain&, const std::vector<CodeObject>& objects,
                  results::Store& store) {
  const verify::ScopedExecConfig scoped(as_mi300x());
  Exporter exporter(options, objects);
  for (const Draw& draw : draws()) {
    const verify::Operator& op = verify::find_operator(draw.op);
    for (const verify::RungInfo& rung : op.rungs()) {
      if (!std::regex_search(rung.name, std::regex(draw.rungs))) continue;
      for (const std::string& drawn : expand(draw.line, options.seed)) {
        const std::string line = op.normalise(drawn);
        if (!op.refuses(rung.name, line).empty()) continue;
        const verify::Data data = op.draw(line, verify::Inputs::kRandom, options.seed);
        Capture capture;
        op.run(rung.name, line, data, {});
        std::string row = line;
        std::replace(row.begin(), row.end(), ' ', ',');
        exporter.add(fmt::format("{}/{}/{}", op.name(), rung.name, row), capture.take());
      }
    }
  }
  for (const Extra& extra : extras()) {
    hip::Stream stream("isa");
    Capture capture;
    extra.run(stream, options.seed);
    exporter.add(extra.name, capture.take());
  }
  exporter.write_manifest();
  exporter.report(store);
}

/// Two splits and ragged ends, so that every mistake shows. Sequences of full length and f16 at head_dim 64 are what
/// the wrong kernel takes.
constexpr const char* kPlantedProblem = "n_tokens=33..60 n_kv=513..540 n_heads=2 n_kv_heads=1 head_dim=64 dtype=f16";
struct Planted {
  const char* name;
  verify::AttentionMistake mistake;
};
constexpr Planted kPlanted[] = {
    {"sound", verify::AttentionMistake::kNone},
    {"no_barrier", verify::AttentionMistake::kNoBarrier},
    {"swapped_fragments", verify::AttentionMistake::kSwappedFragments},
    {"mask_one_late", verify::AttentionMistake::kMaskOneLate},
    {"unmasked_tile", verify::AttentionMistake::kUnmaskedTile},
    {"merge_without_rescale", verify::AttentionMistake::kMergeWithoutRescale},
};

void export_planted_cases(const ExportOptions& options, const std::vector<CodeObject>& objects) {
  const verify::ScopedExecConfig scoped(as_mi300x());
  Exporter exporter(options, objects);
  const verify::Operator& op = verify::find_operator("prefill_attention");
  const std::string line = op.normalise(expand(kPlantedProblem, options.seed).front());
  const verify::Data data = op.draw(line, verify::Inputs::kRandom, options.seed);
  Capture capture;
  verify::run_defective_attention(verify::AttentionMistake::kNone, line, data);
  const std::vector<CapturedLaunch> launches = capture.take();
  const auto instance = [](verify::AttentionMistake m) {
    return fmt::format("AttentionMistakeE{}E", static_cast<int>(m));
  };
  for (const Planted& planted : kPlanted)
    exporter.add_instance(fmt::format("planted/{}", planted.name), launches, instance(verify::AttentionMistake::kNone),
                          instance(planted.mistake));
  exporter.write_manifest();
}

}  // namespace greta::runners::isa
