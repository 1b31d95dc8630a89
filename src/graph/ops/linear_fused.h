// Fused linears: one linear or several of the same input, with a norm before and point-wise work after.
//
//   x ─ [norm] ─┬─ linear 0 ─ [+ b] ─ [activation] ─ [+ residual] ─ output
//               └─ linear 1 ─ …                       (group: further results; gated: activation(0) * 1)
//
// The weights stay apart, each an input of its own, so that fusing copies nothing and every linear may have
// another type. One class, named by its form: linear_norm, linear_add, linear_gelu, linear_add_gelu,
// linear_silu, linear_add_silu, linear_group, linear_glu.
#pragma once

#include "graph/fused_op.h"
#include "graph/ops/activation.h"
#include "graph/ops/linear.h"
#include "graph/ops/norm_prologue.h"

namespace ingot::graph {

struct LinearForm {
  /// The most linears of a group: kernels hold a description of each on the stack.
  static constexpr size_t kMaxParts = 8;

  struct Part {
    WeightOrder order = WeightOrder::out_in;
    bool has_bias = false;
    friend bool operator==(const Part&, const Part&) = default;
  };
  NormPrologue norm = {};
  std::vector<Part> parts{Part{}};
  bool add = false;                          // one part: + b, a row [out] of a weight type or f32 [T, out]
  Activation activation = Activation::none;  // one part, or the gate
  bool gated = false;                        // two parts: activation(part 0) * part 1
  bool residual = false;                     // one output: + f32 [T, out], last

  // Where each operand stands among the inputs: x, the norm's, then weight and bias of each part, b,
  // residual.
  int norm_input() const { return 1; }
  int weight_input(size_t part) const;
  int bias_input(size_t part) const { return weight_input(part) + 1; }
  int add_input() const { return weight_input(parts.size()); }
  int residual_input() const { return add_input() + (add ? 1 : 0); }
  int inputs() const { return residual_input() + (residual ? 1 : 0); }

  friend bool operator==(const LinearForm&, const LinearForm&) = default;
};

class FusedLinearOp final : public FusedOp {
 public:
  /// Errors: invalid_argument for a form that is none of the above.
  explicit FusedLinearOp(LinearForm form);
  const LinearForm& form() const { return form_; }

  std::string_view name() const override;
  std::string attributes() const override;
  std::vector<Value> decompose(Graph& graph, std::span<const Value> inputs) const override;
  /// A residual of the output's size is read where it is written.
  bool in_place(int input) const override { return form_.residual && input == form_.residual_input(); }

 protected:
  size_t input_count() const override { return static_cast<size_t>(form_.inputs()); }

 private:
  LinearForm form_;
};

/// The form of a linear, fused or not; none for other ops.
std::optional<LinearForm> linear_form_of(const Node& node);

}  // namespace ingot::graph
