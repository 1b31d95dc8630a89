#include "graph/ops/embedding.h"

#include "base/check.h"

namespace ingot::graph {
namespace {

class EmbeddingOp final : public Op {
 public:
  std::string_view name() const override { return "embedding"; }

  TensorType infer(std::span<const TensorType> inputs) const override {
    expect_inputs(*this, inputs, 2, 2);
    expect_rank(*this, "ids", inputs[0], 1);
    expect_dtype(*this, "ids", inputs[0], DType::i32);
    expect_rank(*this, "the table", inputs[1], 2);
    expect_weight(*this, "the table", inputs[1]);
    return {DType::f32, {inputs[0].dim(0), inputs[1].dim(1)}};
  }

  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override {
    return {.flops = 0,
            .bytes_read = static_cast<double>(inputs[0].bytes()) +
                          static_cast<double>(dtype_bytes(inputs[1].dtype, output.elements())),
            .bytes_written = static_cast<double>(output.bytes())};
  }

  void reference(std::span<const Tensor> inputs, const Tensor& output) const override {
    const int64_t width = output.shape[1];
    for (int64_t t = 0; t < output.shape[0]; ++t) {
      const int64_t row = inputs[0].i32()[t];
      INGOT_CHECK(row >= 0 && row < inputs[1].shape[0], "embedding: id {} of a table of {} rows", row,
                  inputs[1].shape[0]);
      for (int64_t i = 0; i < width; ++i) output.as<float>()[t * width + i] = inputs[1].at(row * width + i);
    }
  }
};

}  // namespace

Value embedding(Graph& graph, Value ids, Value table, std::string label) {
  return graph.append(std::make_shared<EmbeddingOp>(), {ids, table}, std::move(label));
}

}  // namespace ingot::graph
