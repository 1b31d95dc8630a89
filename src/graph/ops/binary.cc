#include "graph/ops/binary.h"

#include "base/check.h"

namespace ingot::graph {

TensorType BinaryOp::infer(std::span<const TensorType> inputs) const {
  expect_inputs(*this, inputs, 2, 2);
  const TensorType& a = inputs[0];
  const TensorType& b = inputs[1];
  expect_dtype(*this, "a", a, DType::f32);
  expect_float(*this, "b", b);
  if (b.rank() > a.rank()) {
    fail(ErrorCode::invalid_argument, "{}: expected b of rank <= {}, found {}", name(), a.rank(),
         to_string(b));
  }
  for (int i = 1; i <= b.rank(); ++i) expect_dim(*this, "b's trailing dimension", b.dim(-i), a.dim(-i));
  return a;
}

}  // namespace ingot::graph
