// GGUF: a checkpoint file as validated metadata and tensor views.
//
// The file is the magic "GGUF", a version, the counts of tensors and metadata entries, these entries, a
// description of each tensor and, from the next multiple of `general.alignment`, the data. Versions 2 and 3
// in little-endian order are read. Every number is checked before a view exists, so a Tensor's span always
// lies inside the bytes it was parsed from, overlaps no other and holds whole blocks.
//
// The format's dimensions are listed innermost first; a Tensor's shape is outermost first, as everywhere
// here.
//
// Ownership: views borrow the bytes they were parsed from. Thread safety: values, no shared state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "format/gguf_metadata.h"
#include "format/safetensors.h"

namespace ingot::format {

inline constexpr std::string_view kGgufMagic = "GGUF";

struct Gguf {
  uint32_t version = 0;
  size_t alignment = 32;  // of each tensor's first byte, counted from `data_begin`
  size_t data_begin = 0;  // byte of the file
  GgufMetadata metadata;
  std::vector<Tensor> tensors;  // in the order of their bytes
};

/// Parses a whole file held in `bytes`; `name` stands in every message.
/// Errors: invalid_file for anything that breaks the format; unsupported for other versions, big-endian files
/// and the format's tensor types that Ingot lacks.
Gguf parse_gguf(std::span<const std::byte> bytes, std::string_view name);

/// The id of a tensor type in files; nullopt for a type that the format lacks (u8, bool).
std::optional<uint32_t> gguf_type_id(DType dtype);

}  // namespace ingot::format
