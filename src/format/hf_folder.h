// A Hugging Face folder as published: config.json, generation_config.json and the safetensors weights, in one
// file or in shards with an index. Nothing is converted, nothing is written.
//
// Ownership: the folder owns its mappings; a Tensor's bytes stay valid as long as the folder or what owner()
// returned lives. Thread safety: const methods may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "format/config.h"
#include "format/safetensors.h"

namespace ingot::format {

/// When to copy tensors that the file holds at an address their type cannot be read from.
enum class Unaligned : uint8_t {
  copy,   // at once
  later,  // copy_unaligned() does: until then their bytes have an address and no values
};

class HfFolder {
 public:
  /// Reads the configs and validates every header; weights stay on disk until used. With Unaligned::later
  /// none is read at all.
  /// Errors: not_found for a missing folder, file or shard; unsupported for a path that is something else
  /// (GGUF, a lone file); invalid_file for a broken config, header or index; io.
  static HfFolder open(const std::string& path, Unaligned unaligned = Unaligned::copy);
  /// Copies what open() left for later; nothing the second time.
  void copy_unaligned();

  const std::string& path() const { return path_; }
  /// The path of one of its files, present or not: "tokenizer.json".
  std::string file_path(std::string_view name) const;

  const Config& config() const { return config_; }
  /// Without keys when generation_config.json is absent.
  const Config& generation_config() const { return generation_config_; }

  /// All tensors, by file and then in the order of their bytes.
  std::span<const Tensor> tensors() const { return tensors_; }
  /// Null if no tensor has this name.
  const Tensor* find(std::string_view name) const;

  /// The weight files, in the order of their names.
  std::span<const std::shared_ptr<const MappedFile>> files() const { return files_; }
  const std::shared_ptr<const MappedFile>& file(const Tensor& tensor) const { return files_[tensor.file]; }
  /// What keeps the tensor's bytes alive: its mapped file, or the aligned copy made of a tensor that the file
  /// holds at an address its type cannot be read from.
  std::shared_ptr<const void> owner(const Tensor& tensor) const;

  /// Throws Error{io} if a weight file became shorter than it was.
  void check_unchanged() const;
  /// Bytes of all weight files.
  int64_t file_bytes() const;

 private:
  HfFolder() = default;
  void add_file(const std::string& name);
  void read_index(const std::string& index_name);
  void reserve_copies();

  struct Copy {
    std::span<const std::byte> from;
    std::byte* to = nullptr;
  };

  std::string path_;
  Config config_;
  Config generation_config_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::vector<Tensor> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;         // position in tensors_
  std::map<std::string, std::shared_ptr<const void>> copies_;  // aligned copies, by tensor name
  std::vector<Copy> pending_;                                  // copies without values yet
};

}  // namespace ingot::format
