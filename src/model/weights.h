// Weights: hands a checkpoint's tensors to a model by name, and finds what is missing, misshapen or left
// over.
//
// Arrays lie over the mapped files, without a copy, and keep them alive. Used by one thread.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "format/checkpoint.h"
#include "ingot/array.h"

namespace ingot::model {

class Weights {
 public:
  explicit Weights(const format::Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  bool has(std::string_view name) const { return checkpoint_.find(name) != nullptr; }
  /// The tensor of that name. Errors: not_found (lists what the checkpoint has under the same prefix),
  /// invalid_file for another shape, unsupported for a type that is not f32, f16 or bf16, nor
  /// quantised in the shape of a matrix.
  Array take(const std::string& name, const Shape& shape);
  /// Accepts a tensor that the model does not need (a buffer, a copy of tied embeddings), if it is there.
  void ignore(const std::string& name) { used_.insert(name); }
  /// Errors: unsupported, naming the first tensors that nobody took.
  void expect_all_used(std::string_view architecture) const;

 private:
  const format::Checkpoint& checkpoint_;
  std::set<std::string, std::less<>> used_;
};

}  // namespace ingot::model
