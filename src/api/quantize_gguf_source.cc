// GGUF in: metadata and names stay as they are.
#include <algorithm>

#include "api/quantize_source.h"
#include "base/check.h"
#include "format/gguf_files.h"
#include "format/json.h"

namespace ingot::api {
namespace {

using format::GgufFiles;
using format::GgufWriter;

class GgufSource final : public QuantizeSource {
 public:
  explicit GgufSource(const std::string& path) : stored_(GgufFiles::open(path)) {
    const format::GgufMetadata& metadata = stored_.metadata;
    if (metadata.get_string_or("general.type", "model") != "model") {
      fail(ErrorCode::unsupported, "{}: key 'general.type': expected 'model', found '{}'", metadata.file(),
           format::printable(std::string(metadata.get_string("general.type"))));
    }
    const std::string architecture(metadata.get_string("general.architecture"));
    model_.layers = metadata.get_int_or(architecture + ".block_count", 0, 0, INT32_MAX);
    alignment_ = static_cast<size_t>(metadata.get_int_or("general.alignment", 32, 8, INT32_MAX));
    for (const auto& file : stored_.files) files_.push_back(file->path());
    bool is_quantised = false;
    for (const format::Tensor& tensor : stored_.tensors) {
      tensors_.push_back({.name = tensor.name,
                          .source_name = tensor.name,
                          .file = stored_.files[tensor.file]->path(),
                          .dtype = tensor.dtype,
                          .shape = tensor.shape,
                          .bytes = tensor.bytes});
      model_.has_output |= tensor.name == "output.weight";
      is_quantised |= is_block_dtype(tensor.dtype);
    }
    if (is_quantised) {
      notes_.emplace_back(
          "the input is quantised already: quantising it again loses more than the original weights would");
    }
  }

  void write_metadata(GgufWriter& writer) const override {
    constexpr std::string_view kOwn[] = {"general.file_type", "general.quantization_version"};
    for (const std::string_view key : stored_.metadata.keys()) {
      // One file comes of all parts.
      if (key.starts_with("split.") || std::find(std::begin(kOwn), std::end(kOwn), key) != std::end(kOwn)) {
        continue;
      }
      writer.encoded(key, stored_.metadata.encoded(key));
    }
  }

 private:
  GgufFiles stored_;
};

}  // namespace

std::unique_ptr<QuantizeSource> open_gguf_source(const std::string& path) {
  return std::make_unique<GgufSource>(path);
}

}  // namespace ingot::api
