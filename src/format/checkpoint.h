// A published checkpoint, whatever its files: configs under Hugging Face's keys and tensors under Hugging
// Face's names. Nothing is written; what the files hold as the models read it stays where it is.
//
// Ownership: the checkpoint owns its mappings; a Tensor's bytes stay valid as long as the checkpoint or what
// owner() returned lives. Thread safety: const methods may be called from any thread.
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
#include "format/gguf_metadata.h"
#include "format/gguf_rows.h"
#include "format/safetensors.h"

namespace ingot::format {

/// When to copy tensors that cannot be read in place: those at an address that their type cannot be read
/// from, and those whose rows a GGUF file stores in another order.
enum class Copies : uint8_t {
  now,
  later,  // make_copies() does: until then their bytes have an address and no values
};

class Checkpoint {
 public:
  /// Opens what `path` is: a Hugging Face folder, a GGUF file (any part of a split one), or a folder that
  /// holds one of these and no config.json. With Copies::later no weight is read. Errors: not_found for a
  /// missing folder, file or part; unsupported for something else or for what Ingot lacks; invalid_file for a
  /// broken config, header or index; io.
  static std::shared_ptr<Checkpoint> open(const std::string& path, Copies copies = Copies::now);

  virtual ~Checkpoint() = default;
  Checkpoint(Checkpoint&&) = default;
  Checkpoint& operator=(Checkpoint&&) = default;
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  /// Makes the copies that were left for later, in parallel; nothing the second time.
  void make_copies();

  /// The folder, or the GGUF file that was opened.
  const std::string& path() const { return path_; }
  /// The path of a file in the checkpoint's folder, present or not: "tokenizer.json".
  std::string file_path(std::string_view name) const;
  /// The metadata that stand in the files of a GGUF checkpoint, its tokenizer's among them; null for a
  /// folder.
  const GgufMetadata* gguf() const { return gguf_ ? &*gguf_ : nullptr; }

  const Config& config() const { return config_; }
  /// Without keys where the checkpoint says nothing.
  const Config& generation_config() const { return generation_config_; }

  /// All tensors, by file and then in the order of their bytes.
  std::span<const Tensor> tensors() const { return tensors_; }
  /// Null if no tensor has this name.
  const Tensor* find(std::string_view name) const;

  /// The weight files, in the order of their names.
  std::span<const std::shared_ptr<const MappedFile>> files() const { return files_; }
  const std::shared_ptr<const MappedFile>& file(const Tensor& tensor) const { return files_[tensor.file]; }
  /// What keeps the tensor's bytes alive: its mapped file, or its copy.
  std::shared_ptr<const void> owner(const Tensor& tensor) const;

  /// Throws Error{io} if a weight file became shorter than it was.
  void check_unchanged() const;
  /// Bytes of all weight files.
  int64_t file_bytes() const;

 protected:
  /// `path`: as given; `folder`: where its files lie.
  Checkpoint(std::string path, std::string folder) : path_(std::move(path)), folder_(std::move(folder)) {}

  /// Refuses a name that another tensor has, in words that begin with `format`.
  void add_tensor(Tensor tensor, std::string_view format);
  /// Gives the tensor bytes of its own, which make_copies() fills from the present ones.
  void copy_later(Tensor& tensor, RowOrder order = RowOrder::kept, int64_t head_rows = 0);

  std::string path_;
  std::string folder_;
  Config config_;
  Config generation_config_;
  std::optional<GgufMetadata> gguf_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::vector<Tensor> tensors_;

 private:
  struct Copy {
    std::span<const std::byte> from;
    std::byte* to = nullptr;
    RowOrder order = RowOrder::kept;
    size_t head_bytes = 0;  // of the rows that are reordered among themselves; all of them where kept
    int64_t head_rows = 1;
  };

  std::map<std::string, size_t, std::less<>> by_name_;         // position in tensors_
  std::map<std::string, std::shared_ptr<const void>> copies_;  // by tensor name
  std::vector<Copy> pending_;                                  // copies without values yet
};

}  // namespace ingot::format
