// Op: what a node computes, with its attributes. One pair of files per op in ops/ and one row in op_table.cc.
//
// Immutable and shared between graphs; every method is thread safe.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/dim.h"
#include "graph/tensor.h"

namespace ingot::graph {

/// What an op must do at least: arithmetic, and each input byte read and output byte written once.
struct Cost {
  double flops = 0;
  double bytes_read = 0;
  double bytes_written = 0;
};

/// A result of an op beside its output.
struct Result {
  TensorType type;
  /// The input whose newest version it is (a cache that the op has written); none: storage of its own.
  std::optional<int> alias_of = std::nullopt;
};

class Op {
 public:
  virtual ~Op() = default;

  /// The name in op_table.cc, in printed graphs and in kernel tables.
  virtual std::string_view name() const = 0;
  /// Attributes as printed, "eps=1e-05, …"; two ops of equal name and attributes compute the same function.
  virtual std::string attributes() const { return {}; }
  /// Shape rule. Errors: invalid_argument that names the op, what was expected and what was found.
  virtual TensorType infer(std::span<const TensorType> inputs) const = 0;
  /// What the op computes beside its output; nothing for most ops. In the graph each follows the op as a
  /// node of kind result.
  virtual std::vector<Result> results(std::span<const TensorType> /*inputs*/) const { return {}; }
  /// Cost for bound shapes (data pointers are not read).
  virtual Cost cost(std::span<const Tensor> inputs, const Tensor& output) const;
  /// The definition: plain loops on host memory. Writes the whole output.
  virtual void reference(std::span<const Tensor> inputs, const Tensor& output) const = 0;
  /// The same for an op of several results: `outputs` are the output, then each of results().
  virtual void reference_all(std::span<const Tensor> inputs, std::span<const Tensor> outputs) const {
    reference(inputs, outputs[0]);
  }

  /// The input whose storage the output *is* (a view, or a new version of a cache); none for most ops.
  virtual std::optional<int> alias_of() const { return std::nullopt; }
  /// Whether the op changes that storage. If not, its output is a view and nothing runs.
  virtual bool writes_alias() const { return false; }
  /// Whether the output may take the storage of that input when nobody else reads it.
  virtual bool in_place(int /*input*/) const { return false; }
};

/// Checks shared by shape rules: each throws Error{invalid_argument} that starts with the op's name.
void expect_inputs(const Op& op, std::span<const TensorType> inputs, size_t least, size_t most);
void expect_rank(const Op& op, std::string_view what, const TensorType& type, int rank);
void expect_dtype(const Op& op, std::string_view what, const TensorType& type, DType dtype);
void expect_float(const Op& op, std::string_view what, const TensorType& type);  // f32, f16 or bf16
/// A type of weights' matrices; blocks, where it has them, are whole.
void expect_weight(const Op& op, std::string_view what, const TensorType& type);
/// No blocks: values that can be moved one by one.
void expect_single_values(const Op& op, const TensorType& type);
void expect_dim(const Op& op, std::string_view what, const Dim& found, const Dim& expected);

}  // namespace ingot::graph
