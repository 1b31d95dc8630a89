#include "graph/ops/slice.h"

#include <cstring>

#include "base/check.h"
#include "graph/ops/strided_copy.h"

namespace ingot::graph {

std::string SliceOp::attributes() const {
  return fmt::format("axis={}, {}:{}", axis_, begin_, end_);
}

TensorType SliceOp::infer(std::span<const TensorType> inputs) const {
  expect_inputs(*this, inputs, 1, 1);
  expect_single_values(*this, inputs[0]);
  if (axis_ < 0 || axis_ >= inputs[0].rank()) {
    fail(ErrorCode::invalid_argument, "slice: expected an axis of {}, found {}", to_string(inputs[0]), axis_);
  }
  const int64_t extent = inputs[0].dim(axis_).extent();
  if (begin_ < 0 || begin_ > end_ || end_ > extent) {
    fail(ErrorCode::invalid_argument, "slice: expected a range within 0:{}, found {}:{}", extent, begin_,
         end_);
  }
  TensorType out = inputs[0];
  out.dims[static_cast<size_t>(axis_)] = end_ - begin_;
  return out;
}

Cost SliceOp::cost(std::span<const Tensor>, const Tensor& output) const {
  return copy_cost(output);
}

void SliceOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  // Seen from the axis, both arrays are [outer, extent, inner bytes].
  const AxisView from(inputs[0], axis_);
  const AxisView to(output, axis_);
  for (int64_t outer = 0; outer < to.outer; ++outer) {
    copy_bytes(to.at(outer, 0), from.at(outer, begin_), to.extent * to.inner_bytes);
  }
}

Value slice(Graph& graph, Value x, int axis, int64_t begin, int64_t end, std::string label) {
  return graph.append(std::make_shared<SliceOp>(axis, begin, end), {x}, std::move(label));
}

}  // namespace ingot::graph
