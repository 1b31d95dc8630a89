#include "graph/ops/concat.h"

#include "base/check.h"
#include "graph/ops/strided_copy.h"

namespace ingot::graph {

std::string ConcatOp::attributes() const {
  return fmt::format("axis={}", axis_);
}

TensorType ConcatOp::infer(std::span<const TensorType> inputs) const {
  if (inputs.empty()) fail(ErrorCode::invalid_argument, "concat: expected at least one input, found none");
  if (axis_ < 0 || axis_ >= inputs[0].rank()) {
    fail(ErrorCode::invalid_argument, "concat: expected an axis of {}, found {}", to_string(inputs[0]),
         axis_);
  }
  expect_single_values(*this, inputs[0]);
  TensorType out = inputs[0];
  for (const TensorType& input : inputs.subspan(1)) {
    expect_dtype(*this, "every input", input, out.dtype);
    expect_rank(*this, "every input", input, out.rank());
    for (int i = 0; i < out.rank(); ++i) {
      if (i != axis_) expect_dim(*this, "an input's dimension", input.dim(i), out.dim(i));
    }
    Dim& joined = out.dims[static_cast<size_t>(axis_)];
    joined = joined + input.dim(axis_);
  }
  return out;
}

Cost ConcatOp::cost(std::span<const Tensor>, const Tensor& output) const {
  return copy_cost(output);
}

void ConcatOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  const AxisView to(output, axis_);
  int64_t start = 0;
  for (const Tensor& input : inputs) {
    const AxisView from(input, axis_);
    for (int64_t outer = 0; outer < to.outer; ++outer) {
      copy_bytes(to.at(outer, start), from.at(outer, 0), from.extent * from.inner_bytes);
    }
    start += from.extent;
  }
}

Value concat(Graph& graph, std::vector<Value> inputs, int axis, std::string label) {
  return graph.append(std::make_shared<ConcatOp>(axis), std::move(inputs), std::move(label));
}

}  // namespace ingot::graph
