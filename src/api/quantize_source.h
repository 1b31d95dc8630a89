// What is quantised: a Hugging Face folder or a GGUF file as the tensors and metadata of the GGUF file to
// write.
//
// A source owns the mappings that its tensors borrow. Headers and configs are read on opening, no weight.
// Immutable once open.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "api/quantize_rows.h"
#include "api/quantize_types.h"
#include "format/gguf_writer.h"

namespace ingot::api {

class QuantizeSource {
 public:
  /// Errors: not_found, invalid_file, unsupported, io.
  static std::unique_ptr<QuantizeSource> open(const std::string& path);

  virtual ~QuantizeSource() = default;
  QuantizeSource(const QuantizeSource&) = delete;
  QuantizeSource& operator=(const QuantizeSource&) = delete;

  /// In the order of the file to write.
  std::span<const SourceTensor> tensors() const { return tensors_; }
  const RecipeModel& model() const { return model_; }
  /// What the input holds: none of them may be written to.
  std::span<const std::string> files() const { return files_; }
  std::span<const std::string> notes() const { return notes_; }
  /// Of the tensors in the file to write.
  size_t alignment() const { return alignment_; }

  virtual void write_metadata(format::GgufWriter& writer) const = 0;

 protected:
  QuantizeSource() = default;

  std::vector<SourceTensor> tensors_;
  RecipeModel model_;
  std::vector<std::string> files_;
  std::vector<std::string> notes_;
  size_t alignment_ = 32;
};

/// Of a Hugging Face folder; of a GGUF file.
std::unique_ptr<QuantizeSource> open_hf_source(const std::string& folder);
std::unique_ptr<QuantizeSource> open_gguf_source(const std::string& path);

}  // namespace ingot::api
