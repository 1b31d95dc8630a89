#include "graph/ops/transpose.h"

#include <fmt/ranges.h>

#include "base/check.h"
#include "graph/ops/strided_copy.h"

namespace ingot::graph {

std::string TransposeOp::attributes() const {
  return fmt::format("order={}", fmt::join(order_, ","));
}

TensorType TransposeOp::infer(std::span<const TensorType> inputs) const {
  expect_inputs(*this, inputs, 1, 1);
  expect_single_values(*this, inputs[0]);
  uint32_t seen = 0;
  for (int axis : order_) {
    if (axis >= 0 && axis < inputs[0].rank()) seen |= 1U << axis;
  }
  if (order_.size() != inputs[0].dims.size() || seen + 1 != 1U << order_.size()) {
    fail(ErrorCode::invalid_argument, "transpose: expected a permutation of the axes of {}, found {}",
         to_string(inputs[0]), fmt::join(order_, ","));
  }
  TensorType out{inputs[0].dtype, {}};
  for (int axis : order_) out.dims.push_back(inputs[0].dim(axis));
  return out;
}

Cost TransposeOp::cost(std::span<const Tensor>, const Tensor& output) const {
  return copy_cost(output);
}

void TransposeOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  const Tensor& x = inputs[0];
  const auto item = static_cast<int64_t>(dtype_bytes(x.dtype));
  std::array<int64_t, Shape::kMaxRank> strides{};  // of x, in bytes, in the result's axis order
  for (size_t i = 0; i < order_.size(); ++i) {
    strides[i] = item;
    for (int axis = order_[i] + 1; axis < x.shape.rank(); ++axis) strides[i] *= x.shape[axis];
  }
  for (int64_t i = 0; i < output.elements(); ++i) {
    int64_t rest = i;
    int64_t from = 0;
    for (int axis = output.shape.rank() - 1; axis >= 0; --axis) {
      from += rest % output.shape[axis] * strides[static_cast<size_t>(axis)];
      rest /= output.shape[axis];
    }
    copy_bytes(output.as<std::byte>() + i * item, x.as<std::byte>() + from, item);
  }
}

Value transpose(Graph& graph, Value x, std::vector<int> order, std::string label) {
  return graph.append(std::make_shared<TransposeOp>(std::move(order)), {x}, std::move(label));
}

}  // namespace ingot::graph
