#include "ingot/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>

#include "api/quantize_rows.h"
#include "api/quantize_source.h"
#include "api/quantize_types.h"
#include "base/check.h"
#include "base/cpu_count.h"
#include "base/thread_pool.h"
#include "format/gguf_writer.h"
#include "format/json.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using api::QuantizeSource;
using api::SourceTensor;
using format::GgufWriter;

constexpr uint32_t kQuantizationVersion = 2;         // of the block formats' layouts
constexpr int64_t kChunkValues = int64_t{64} << 10;  // that a thread takes at once: 256 KiB of floats
constexpr int64_t kSlabValues = int64_t{2} << 20;    // between two writes and calls of progress
constexpr int64_t kCopyBytes = int64_t{8} << 20;     // likewise, of tensors that stay as they are

/// Who follows the work and may end it.
class Progress {
 public:
  Progress(const QuantizeOptions& options, int64_t total) : options_(options), total_(total) {}

  void add(const SourceTensor& tensor, int64_t bytes) {
    done_ += bytes;
    if (!options_.progress || options_.progress({done_, total_, tensor.name})) return;
    fail(ErrorCode::invalid_argument, "quantize: cancelled after {} of {} bytes", done_, total_);
  }

 private:
  const QuantizeOptions& options_;
  int64_t done_ = 0;
  int64_t total_;
};

class Converter {
 public:
  Converter(GgufWriter& writer, int threads, Progress& progress)
      : writer_(writer), pool_(threads), values_(static_cast<size_t>(threads)), progress_(progress) {}

  void convert(const SourceTensor& tensor, DType to) {
    if (api::is_plain_copy(tensor, to)) {
      copy(tensor);
    } else {
      encode(tensor, to);
    }
  }

 private:
  void copy(const SourceTensor& tensor) {
    const auto size = static_cast<int64_t>(tensor.bytes.size());
    for (int64_t at = 0; at < size; at += kCopyBytes) {
      const int64_t count = std::min(kCopyBytes, size - at);
      writer_.write(tensor.bytes.subspan(static_cast<size_t>(at), static_cast<size_t>(count)));
      progress_.add(tensor, count);
    }
  }

  void encode(const SourceTensor& tensor, DType to) {
    const int64_t width = tensor.width();
    const int64_t rows = tensor.rows();
    const int64_t chunk = std::clamp<int64_t>(kChunkValues / width, 1, rows);
    const int64_t slab = std::min(rows, std::max(chunk, kSlabValues / width / chunk * chunk));
    const auto row_bytes = static_cast<size_t>(dtype_bytes(to, width));
    out_.resize(static_cast<size_t>(slab) * row_bytes);
    for (auto& values : values_) values.resize(static_cast<size_t>(chunk * width));
    for (int64_t begin = 0; begin < rows; begin += slab) {
      const int64_t end = std::min(rows, begin + slab);
      encode_slab(tensor, to, {.begin = begin, .end = end, .chunk = chunk}, row_bytes);
      writer_.write(std::span(out_).first(static_cast<size_t>(end - begin) * row_bytes));
      progress_.add(tensor, dtype_bytes(tensor.dtype, (end - begin) * width));
    }
  }

  struct Slab {
    int64_t begin;  // rows
    int64_t end;
    int64_t chunk;
  };
  void encode_slab(const SourceTensor& tensor, DType to, const Slab& slab, size_t row_bytes) {
    std::atomic<int64_t> next{slab.begin};
    pool_.run([&](int thread) {
      float* const values = values_[static_cast<size_t>(thread)].data();
      while (true) {
        const int64_t begin = next.fetch_add(slab.chunk, std::memory_order_relaxed);
        if (begin >= slab.end) return;
        const int64_t end = std::min(begin + slab.chunk, slab.end);
        api::read_rows(tensor, begin, end, values);
        std::byte* const out = out_.data() + static_cast<size_t>(begin - slab.begin) * row_bytes;
        if (!api::encode_rows(to, values, (end - begin) * tensor.width(), out)) {
          fail(ErrorCode::invalid_file,
               "{}: tensor '{}': rows {} to {} hold a value that is not finite or too large for {}",
               tensor.file, format::printable(tensor.source_name), begin, end - 1, to_string(to));
        }
      }
    });
  }

  GgufWriter& writer_;
  ThreadPool pool_;
  std::vector<std::vector<float>> values_;  // by thread: the rows it works at
  std::vector<std::byte> out_;              // the rows of a slab, encoded
  Progress& progress_;
};

/// The result as it will be, but for the size of the whole file and the time.
QuantizeResult plan(const QuantizeSource& source, const api::Recipe& recipe) {
  QuantizeResult result;
  result.type = recipe.name;
  result.notes.assign(source.notes().begin(), source.notes().end());
  std::map<std::pair<DType, DType>, int64_t> fallbacks;
  for (const SourceTensor& tensor : source.tensors()) {
    const auto [wanted, used] = choose_type(recipe, source.model(), tensor.name, tensor.shape, tensor.dtype);
    QuantizedTensor out{.name = tensor.name,
                        .shape = tensor.shape,
                        .from = tensor.dtype,
                        .to = used,
                        .wanted = wanted,
                        .bytes = dtype_bytes(used, tensor.elements())};
    if (!api::is_plain_copy(tensor, used) && !api::is_encodable(used)) {
      fail(ErrorCode::unsupported, "type: {} cannot be written", to_string(used));
    }
    if (wanted != used) ++fallbacks[{wanted, used}];
    result.input_bytes += static_cast<int64_t>(tensor.bytes.size());
    result.weight_bytes += out.bytes;
    result.parameters += tensor.elements();
    result.tensors.push_back(std::move(out));
  }
  for (const auto& [types, count] : fallbacks) {
    result.notes.push_back(
        fmt::format("{} {} {} in place of {}, whose blocks of {} values do not fit their rows", count,
                    count == 1 ? "tensor takes" : "tensors take", to_string(types.second),
                    to_string(types.first), block_of(types.first).elements));
  }
  return result;
}

void check_output(const QuantizeSource& source, const std::string& output) {
  std::error_code ignored;
  for (const std::string& file : source.files()) {
    if (!fs::equivalent(file, output, ignored)) continue;
    fail(ErrorCode::invalid_argument, "{}: the output is a file of the input", output);
  }
}

int check_threads(int threads) {
  if (threads == 0) return std::min(available_cpus(), ThreadPool::kMaxThreads);
  if (threads < 0 || threads > ThreadPool::kMaxThreads) {
    fail(ErrorCode::invalid_argument, "threads: expected 1 to {}, found {}", ThreadPool::kMaxThreads,
         threads);
  }
  return threads;
}

void describe(const QuantizeSource& source, const api::Recipe& recipe, const QuantizeResult& result,
              GgufWriter& writer) {
  source.write_metadata(writer);
  writer.number("general.file_type", recipe.file_type);
  writer.number("general.quantization_version", kQuantizationVersion);
  for (const QuantizedTensor& tensor : result.tensors) writer.tensor(tensor.name, tensor.to, tensor.shape);
}

}  // namespace

std::vector<QuantizeType> quantize_types() {
  std::vector<QuantizeType> types;
  for (const api::Recipe& recipe : api::recipes()) types.push_back({recipe.name, recipe.description});
  return types;
}

int64_t QuantizedTensor::elements() const {
  int64_t elements = 1;
  for (const int64_t dimension : shape) elements *= dimension;
  return elements;
}

double QuantizeResult::bits_per_weight() const {
  return parameters == 0 ? 0 : 8 * static_cast<double>(weight_bytes) / static_cast<double>(parameters);
}

QuantizeResult plan_quantize(const std::string& input, const QuantizeOptions& options) {
  const api::Recipe& recipe = api::find_recipe(options.type);
  check_threads(options.threads);
  const auto source = QuantizeSource::open(input);
  return plan(*source, recipe);
}

QuantizeResult quantize(const std::string& input, const std::string& output, const QuantizeOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const api::Recipe& recipe = api::find_recipe(options.type);
  const int threads = check_threads(options.threads);
  const auto source = QuantizeSource::open(input);
  check_output(*source, output);
  QuantizeResult result = plan(*source, recipe);

  GgufWriter writer(output, options.force ? GgufWriter::Existing::replace : GgufWriter::Existing::refuse,
                    source->alignment());
  if (options.on_part) options.on_part(GgufWriter::part_path_of(output));
  describe(*source, recipe, result, writer);
  result.output_bytes = writer.file_bytes();
  writer.begin();
  Progress progress(options, result.input_bytes);
  Converter converter(writer, threads, progress);
  for (size_t i = 0; i < result.tensors.size(); ++i) {
    converter.convert(source->tensors()[i], result.tensors[i].to);
  }
  writer.commit();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace ingot
