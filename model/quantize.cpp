#include "model/quantize.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <thread>

#include "kernels/hip/error.hpp"
#include "model/gguf_writer.hpp"
#include "reference/quant_blocks.hpp"

namespace greta::model {
namespace {

constexpr int64_t kValuesAWorker = 1 << 20;  // of one round: 4 MiB of floats, about 50 ms of work

struct ErrorSums {
  double error = 0, size = 0;
};

/// Rows [first, last) of the tensor into out.
ErrorSums convert_rows(const GgufFile& file, const GgufTensor& tensor, DType to, int64_t first, int64_t last,
                       std::byte* out) {
  const size_t from_bytes = reference::row_bytes(tensor.type, tensor.row_length());
  const size_t to_bytes = reference::row_bytes(to, tensor.row_length());
  std::vector<float> row(static_cast<size_t>(tensor.row_length())), back(row.size());
  ErrorSums sums;
  for (int64_t r = first; r < last; ++r, out += to_bytes) {
    reference::dequantise_row(tensor.type, tensor.data.data() + static_cast<size_t>(r) * from_bytes, std::span(row));
    int64_t n_clipped = 0;
    try {
      n_clipped = reference::quantise_row(to, row, out);
    } catch (const Error& error) {
      file.fail(fmt::format("tensor {}, row {}: {}", quoted(tensor.name), r, error.what()));
    }
    if (n_clipped > 0)
      file.fail(fmt::format("tensor {}, row {}: weights are too large for {} (its scale is an F16, at most 65504)",
                            quoted(tensor.name), r, dtype_name(to)));
    reference::dequantise_row(to, out, std::span(back));
    for (size_t i = 0; i < row.size(); ++i) {
      const double e = static_cast<double>(back[i]) - row[i];
      sums.error += e * e;
      sums.size += static_cast<double>(row[i]) * row[i];
    }
  }
  return sums;
}

/// Converts all rows with n_workers threads, a round at a time, and writes them in order.
ErrorSums convert(const GgufFile& file, const GgufTensor& tensor, DType to, int n_workers, GgufWriter& out) {
  const size_t to_bytes = reference::row_bytes(to, tensor.row_length());
  const int64_t rows_a_worker = std::max<int64_t>(1, kValuesAWorker / tensor.row_length());
  std::vector<std::byte> bytes;
  ErrorSums total;
  for (int64_t start = 0; start < tensor.n_rows(); start += rows_a_worker * n_workers) {
    const int64_t end = std::min(tensor.n_rows(), start + rows_a_worker * n_workers);
    bytes.resize(static_cast<size_t>(end - start) * to_bytes);
    const auto n_parts = static_cast<size_t>((end - start + rows_a_worker - 1) / rows_a_worker);
    std::vector<ErrorSums> sums(n_parts);
    std::vector<std::exception_ptr> errors(n_parts);
    const auto work = [&](size_t part) {
      try {
        const int64_t first = start + static_cast<int64_t>(part) * rows_a_worker;
        sums[part] = convert_rows(file, tensor, to, first, std::min(end, first + rows_a_worker),
                                  bytes.data() + static_cast<size_t>(first - start) * to_bytes);
      } catch (...) {
        errors[part] = std::current_exception();
      }
    };
    std::vector<std::thread> threads;
    for (size_t part = 1; part < n_parts; ++part) threads.emplace_back(work, part);
    work(0);
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
    for (const ErrorSums& s : sums) {
      total.error += s.error;
      total.size += s.size;
    }
    out.write(bytes);
  }
  return total;
}

bool is_float(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

}  // namespace

QuantizeReport quantize_model(const std::string& from, const std::string& to, WeightMix mix, int n_workers) {
  if (n_workers <= 0) n_workers = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const GgufFile file = GgufFile::open(from);
  const LlamaConfig config = read_config(file);
  QuantizeReport report;
  report.bytes_before = file.size_bytes();

  const std::vector<TensorSpec> specs = llama_tensors(config);
  const auto spec_of = [&](std::string_view name) -> const TensorSpec& {
    return *std::find_if(specs.begin(), specs.end(), [&](const TensorSpec& s) { return s.name == name; });
  };
  GgufWriter out(to, file.alignment());
  for (const GgufKey& key : file.keys())
    if (key.name != "general.file_type" && key.name != "general.quantization_version" &&
        key.name != "general.alignment")  // the writer's
      out.add(key.name, key.value);
  out.add("general.file_type", weight_mix_file_type(mix));
  out.add("general.quantization_version", 2u);
  for (const GgufTensor& tensor : file.tensors()) {
    if (!is_float(tensor.type))
      file.fail(fmt::format("tensor {}: type: got {}, wanted f32, f16 or bf16; quantise from the original model",
                            quoted(tensor.name), dtype_name(tensor.type)));
    const ChosenType chosen = choose_type(mix, spec_of(tensor.name), config);
    if (chosen.wanted)
      report.notes.push_back(fmt::format("{}: {} instead of {}, as rows of {} are no multiple of {}", tensor.name,
                                         dtype_name(chosen.type), dtype_name(*chosen.wanted), tensor.row_length(),
                                         dtype_block_values(*chosen.wanted)));
    report.tensors.push_back(
        {std::string(tensor.name), tensor.shape(), tensor.type, chosen.type, tensor.n_values(), 0});
    out.add_tensor(tensor.name, chosen.type, std::span(tensor.dims).first(static_cast<size_t>(tensor.n_dims)));
  }
  out.begin_data();
  for (size_t i = 0; i < report.tensors.size(); ++i) {
    QuantizedTensor& row = report.tensors[i];
    const GgufTensor& tensor = file.tensors()[i];
    if (row.from == row.to) {
      out.write(tensor.data);
      continue;
    }
    const ErrorSums sums = convert(file, tensor, row.to, n_workers, out);
    row.relative_rmse = sums.size > 0 ? std::sqrt(sums.error / sums.size) : 0;
  }
  out.finish();
  report.bytes_after = out.n_bytes();
  return report;
}

}  // namespace greta::model
