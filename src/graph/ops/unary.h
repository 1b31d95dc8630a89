// What the point-wise ops of one input share.
#pragma once

#include "graph/op.h"

namespace ingot::graph {

/// x: f32 of any shape; the result has x's type.
class UnaryOp : public Op {
 public:
  TensorType infer(std::span<const TensorType> inputs) const override {
    expect_inputs(*this, inputs, 1, 1);
    expect_dtype(*this, "x", inputs[0], DType::f32);
    return inputs[0];
  }
  bool in_place(int /*input*/) const final { return true; }
};

}  // namespace ingot::graph
