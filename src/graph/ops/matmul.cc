#include "graph/ops/matmul.h"

#include "base/check.h"

namespace ingot::graph {
namespace {

class MatmulOp final : public Op {
 public:
  std::string_view name() const override { return "matmul"; }

  TensorType infer(std::span<const TensorType> inputs) const override {
    expect_inputs(*this, inputs, 2, 2);
    const TensorType& a = inputs[0];
    const TensorType& b = inputs[1];
    if (a.rank() < 2)
      fail(ErrorCode::invalid_argument, "matmul: expected a of rank >= 2, found {}", to_string(a));
    expect_rank(*this, "b", b, a.rank());
    expect_dtype(*this, "a", a, DType::f32);
    expect_dtype(*this, "b", b, DType::f32);
    for (int i = 0; i < a.rank() - 2; ++i) expect_dim(*this, "b's batch dimension", b.dim(i), a.dim(i));
    expect_dim(*this, "b's rows", b.dim(-2), a.dim(-1));
    TensorType out = a;
    out.dims.back() = b.dim(-1);
    return out;
  }

  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override {
    Cost cost = Op::cost(inputs, output);
    cost.flops = 2 * static_cast<double>(output.elements()) * static_cast<double>(inputs[0].shape[-1]);
    return cost;
  }

  void reference(std::span<const Tensor> inputs, const Tensor& output) const override {
    const int64_t m = output.shape[-2];
    const int64_t n = output.shape[-1];
    const int64_t k = inputs[0].shape[-1];
    const int64_t batch = m * n == 0 ? 0 : output.elements() / (m * n);
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t l = 0; l < k; ++l) {
            sum += static_cast<double>(inputs[0].f32()[(b * m + i) * k + l]) *
                   inputs[1].f32()[(b * k + l) * n + j];
          }
          output.as<float>()[(b * m + i) * n + j] = static_cast<float>(sum);
        }
      }
    }
  }
};

}  // namespace

Value matmul(Graph& graph, Value a, Value b, std::string label) {
  return graph.append(std::make_shared<MatmulOp>(), {a, b}, std::move(label));
}

}  // namespace ingot::graph
