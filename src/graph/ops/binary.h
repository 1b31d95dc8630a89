// What the point-wise ops of two inputs share: the shape rule with its one form of broadcasting.
#pragma once

#include "graph/op.h"

namespace ingot::graph {

/// a: f32 of any shape; b: f32, f16 or bf16 whose shape equals a's trailing dimensions (all of them, or a
/// row). f16 and bf16 serve weights such as biases. The result has a's type.
class BinaryOp : public Op {
 public:
  TensorType infer(std::span<const TensorType> inputs) const final;
  bool in_place(int input) const final { return input == 0; }
};

}  // namespace ingot::graph
