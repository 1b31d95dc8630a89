// A GGUF checkpoint as it is stored: one file, or all parts of a split one, under the format's own names.
//
// A split checkpoint is NAME-00001-of-00003.gguf and so on; its first part holds the metadata.
//
// Ownership: holds the mappings that its metadata and tensors lie in. Thread safety: const.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "format/gguf.h"

namespace ingot::format {

inline constexpr std::string_view kGgufSuffix = ".gguf";

struct GgufFiles {
  /// Any part's path opens all. Errors: those of parse_gguf and MappedFile; not_found for a missing part,
  /// invalid_file for parts that do not belong together.
  static GgufFiles open(const std::string& path);

  std::vector<std::shared_ptr<const MappedFile>> files;  // by part
  GgufMetadata metadata;                                 // of the first part
  std::vector<Tensor> tensors;                           // by file and then in the order of their bytes
};

/// What a part's file name says.
struct GgufPartName {
  std::string prefix;
  int64_t number = 0;  // from 1
  int64_t count = 0;
};
/// Nothing where the name is not that of a part. `name` may be a path.
std::optional<GgufPartName> read_part_name(std::string_view name);
std::string part_name(const GgufPartName& part);

}  // namespace ingot::format
