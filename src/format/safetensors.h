// Safetensors: a checkpoint file as a list of validated tensor views.
//
// The file is an 8-byte little-endian header length, a JSON header {name: {dtype, shape, data_offsets}} and
// the data, which the tensors cover without holes or overlaps. Every number in the header is checked before a
// view exists, so a Tensor's span always lies inside the bytes it was parsed from.
//
// Ownership: views borrow the bytes they were parsed from. Thread safety: values, no shared state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/dtype.h"

namespace ingot::format {

/// The longest header accepted, as in the reference implementation.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// One tensor of a checkpoint.
struct Tensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;        // empty for a scalar
  std::span<const std::byte> bytes;  // elements() * dtype_bytes(dtype), row-major, little-endian
  size_t file = 0;                   // which of the checkpoint's files holds it

  int64_t elements() const;
  /// Whether the bytes may be read in place as elements. Not every writer pads its header or orders its
  /// tensors so that they begin at multiples of their element size, and the format does not ask for it.
  bool is_aligned() const;
};

struct Safetensors {
  std::vector<Tensor> tensors;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
};

/// Parses a whole file held in `bytes`; `name` stands in every message.
/// Errors: invalid_file for anything that breaks the format, unsupported for its element types that Ingot
/// lacks.
Safetensors parse_safetensors(std::span<const std::byte> bytes, std::string_view name);

}  // namespace ingot::format
