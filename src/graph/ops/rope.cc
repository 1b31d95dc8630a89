#include "graph/ops/rope.h"

#include "base/check.h"

namespace ingot::graph {

TensorType RopeOp::infer(std::span<const TensorType> inputs) const {
  expect_inputs(*this, inputs, 2, 2);
  expect_rank(*this, "x", inputs[0], 3);
  expect_dtype(*this, "x", inputs[0], DType::f32);
  expect_rank(*this, "the table", inputs[1], 2);
  expect_dtype(*this, "the table", inputs[1], DType::f32);
  expect_dim(*this, "the table's rows", inputs[1].dim(0), inputs[0].dim(0));
  const int64_t rotary = inputs[1].dim(1).extent();
  const int64_t head_dim = inputs[0].dim(2).extent();
  if (rotary % 2 != 0 || rotary > head_dim) {
    fail(ErrorCode::invalid_argument, "rope: expected an even number of rotary dimensions <= {}, found {}",
         head_dim, rotary);
  }
  return inputs[0];
}

Cost RopeOp::cost(std::span<const Tensor> inputs, const Tensor& output) const {
  Cost cost = Op::cost(inputs, output);
  cost.flops = 3 * static_cast<double>(output.elements());
  return cost;
}

void RopeOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  const int64_t heads = output.shape[1];
  const int64_t head_dim = output.shape[2];
  const int64_t pairs = inputs[1].shape[1] / 2;
  const int64_t step = style_ == RopeStyle::half ? 1 : 2;         // between a pair and the next
  const int64_t partner = style_ == RopeStyle::half ? pairs : 1;  // from a pair's first to its second
  for (int64_t t = 0; t < output.shape[0]; ++t) {
    const float* cosine = inputs[1].f32() + t * 2 * pairs;
    const float* sine = cosine + pairs;
    for (int64_t h = 0; h < heads; ++h) {
      const float* x = inputs[0].f32() + (t * heads + h) * head_dim;
      float* out = output.as<float>() + (t * heads + h) * head_dim;
      for (int64_t i = 0; i < pairs; ++i) {
        const float a = x[i * step];
        const float b = x[i * step + partner];
        out[i * step] = a * cosine[i] - b * sine[i];
        out[i * step + partner] = b * cosine[i] + a * sine[i];
      }
      for (int64_t i = 2 * pairs; i < head_dim; ++i) out[i] = x[i];
    }
  }
}

Value rope(Graph& graph, Value x, Value table, RopeStyle style, std::string label) {
  return graph.append(std::make_shared<RopeOp>(style), {x, table}, std::move(label));
}

}  // namespace ingot::graph
