// Any bytes are either refused with an Error of bad input, or become views that lie inside them.
#include "format/safetensors.h"

#include <cstdint>
#include <cstdlib>

#include "ingot/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    const format::Safetensors file = format::parse_safetensors(bytes, "fuzz");
    size_t covered = 0;
    unsigned sum = 0;
    for (const format::Tensor& tensor : file.tensors) {
      int64_t elements = 1;
      for (const int64_t dimension : tensor.shape) elements *= dimension;
      if (elements != tensor.elements()) std::abort();
      covered += tensor.bytes.size();
      for (const std::byte byte : tensor.bytes) sum += std::to_integer<unsigned>(byte);
    }
    volatile unsigned sink = sum;  // the reads above are the check
    static_cast<void>(sink);
    if (covered > size) std::abort();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_file && error.code() != ErrorCode::unsupported) std::abort();
  }
  return 0;
}
