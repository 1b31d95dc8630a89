// pointwise: a chain of point-wise ops as one pass over memory.
#pragma once

#include "graph/fused_op.h"

namespace ingot::graph {

/// One op of the chain. Operands: 0 … inputs-1 is an input, inputs+k is step k's result.
struct PointwiseStep {
  enum class Kind : uint8_t { add, mul, gelu_erf, gelu_tanh, silu };
  Kind kind = Kind::add;
  int a = 0;  // f32 of the output's shape
  int b =
      0;  // add, mul only: as in add.h, f32 of the output's shape or a trailing part of it of a weight type
  friend bool operator==(const PointwiseStep&, const PointwiseStep&) = default;
};

std::string_view to_string(PointwiseStep::Kind kind);
bool is_binary(PointwiseStep::Kind kind);
/// The kind that an op is; none where the op is not point-wise.
std::optional<PointwiseStep::Kind> pointwise_kind_of(const Op& op);

/// Whether every input is of the output's shape or a trailing part of it, as kernels of one loop need: a step
/// that nothing reads may be wider than the output.
bool are_trailing_parts(std::span<const TensorType> inputs, const TensorType& output);

class PointwiseOp final : public FusedOp {
 public:
  /// The most inputs and steps: kernels keep a block of each in the first-level cache.
  static constexpr int kMaxInputs = 8;
  static constexpr int kMaxSteps = 16;

  /// The last step's result is the output. Errors: invalid_argument for operands that do not come before
  /// their step, or too many of anything.
  PointwiseOp(int inputs, std::vector<PointwiseStep> steps);
  int inputs() const { return inputs_; }
  std::span<const PointwiseStep> steps() const { return steps_; }

  std::string_view name() const override { return "pointwise"; }
  /// "silu(a) * b": inputs are letters.
  std::string attributes() const override;
  std::vector<Value> decompose(Graph& graph, std::span<const Value> inputs) const override;
  /// Every element is read before it is written, but only inputs of the output's size fit.
  bool in_place(int /*input*/) const override { return true; }

 protected:
  size_t input_count() const override { return static_cast<size_t>(inputs_); }

 private:
  int inputs_;
  std::vector<PointwiseStep> steps_;
};

}  // namespace ingot::graph
