// Any bytes are either refused with an Error of bad input, or become metadata and views that lie inside them;
// whatever a reader asks of the metadata, it gets an answer or such an Error, as does who translates them.
#include "format/gguf.h"

#include <cstdint>
#include <cstdlib>

#include "format/gguf_config.h"
#include "format/gguf_names.h"
#include "ingot/error.h"

namespace {

using namespace ingot;

template <typename Function>
void refused_or_done(Function function) {
  try {
    function();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_file && error.code() != ErrorCode::unsupported &&
        error.code() != ErrorCode::not_found) {
      std::abort();
    }
  }
}

void read_everything(const format::Gguf& file) {
  size_t sum = 0;
  for (const std::string_view key : file.metadata.keys()) {
    refused_or_done([&] { sum += static_cast<size_t>(file.metadata.get_int(key, INT64_MIN, INT64_MAX)); });
    refused_or_done([&] { sum += file.metadata.get_double(key, -1, 1) > 0 ? 1 : 0; });
    refused_or_done([&] { sum += file.metadata.get_bool(key) ? 1 : 0; });
    refused_or_done([&] { sum += file.metadata.get_string(key).size(); });
    refused_or_done([&] { sum += file.metadata.ints(key).size(); });
    refused_or_done([&] { sum += file.metadata.floats(key).size(); });
    refused_or_done([&] {
      const format::GgufStrings strings = file.metadata.strings(key);
      for (size_t i = 0; i < strings.size(); ++i) {
        for (const char c : strings[i]) sum += static_cast<unsigned char>(c);
      }
    });
  }
  for (const format::Tensor& tensor : file.tensors) {
    int64_t elements = 1;
    for (const int64_t dimension : tensor.shape) elements *= dimension;
    if (elements != tensor.elements()) std::abort();
    for (const std::byte byte : tensor.bytes) sum += std::to_integer<unsigned>(byte);
  }
  volatile size_t sink = sum;  // the reads above are the check
  static_cast<void>(sink);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  refused_or_done([&] {
    const format::Gguf file = format::parse_gguf(bytes, "fuzz");
    read_everything(file);
    refused_or_done([&] { format::translate_generation_config(file.metadata); });
    refused_or_done([&] {
      const format::GgufArchitecture& architecture = format::read_gguf_architecture(file.metadata);
      for (const format::Tensor& tensor : file.tensors) format::hf_tensor_name(architecture, tensor.name);
      format::translate_config(file.metadata, architecture, file.tensors);
    });
  });
  return 0;
}
