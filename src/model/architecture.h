// Architecture: one published family of models. Each is one file: its config, its weight names, its graph.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/checkpoint.h"
#include "model/builder.h"

namespace ingot::model {

class Architecture {
 public:
  virtual ~Architecture() = default;
  virtual std::string_view name() const = 0;
  const Dimensions& dimensions() const { return dimensions_; }
  /// Appends the model from the embedding to the head. `sample`: end in token ids rather than logits.
  virtual void build(ModelBuilder& builder, bool sample) const = 0;
  /// Options worth telling a person: "rope llama3 x32", "sliding window 4096".
  virtual std::vector<std::string> notes() const { return {}; }

 protected:
  Dimensions dimensions_;
};

/// A row of registry.cc.
struct ArchitectureEntry {
  std::string_view model_type;  // config.json's model_type
  std::string_view models;      // for messages
  std::unique_ptr<Architecture> (*make)(const format::Checkpoint& checkpoint);
};

std::span<const ArchitectureEntry> architectures();

/// Reads config.json's model_type and the architecture's options. Errors: unsupported for another model_type
/// or option (both list what is supported), invalid_file.
std::unique_ptr<Architecture> make_architecture(const format::Checkpoint& checkpoint);

std::unique_ptr<Architecture> make_gpt2(const format::Checkpoint& checkpoint);
std::unique_ptr<Architecture> make_llama(const format::Checkpoint& checkpoint);
std::unique_ptr<Architecture> make_qwen2(const format::Checkpoint& checkpoint);
std::unique_ptr<Architecture> make_qwen3(const format::Checkpoint& checkpoint);

}  // namespace ingot::model
