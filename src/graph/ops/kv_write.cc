#include "graph/ops/kv_write.h"

#include <algorithm>

#include "base/check.h"

namespace ingot::graph {
namespace {

class KvWriteOp final : public Op {
 public:
  std::string_view name() const override { return "kv_write"; }
  std::optional<int> alias_of() const override { return 0; }
  bool writes_alias() const override { return true; }

  TensorType infer(std::span<const TensorType> inputs) const override {
    expect_inputs(*this, inputs, 3, 3);
    expect_rank(*this, "the cache", inputs[0], 4);
    expect_dtype(*this, "the cache", inputs[0], DType::f32);
    expect_rank(*this, "x", inputs[1], 3);
    expect_dtype(*this, "x", inputs[1], DType::f32);
    expect_dim(*this, "x's heads", inputs[1].dim(1), inputs[0].dim(1));
    expect_dim(*this, "x's head_dim", inputs[1].dim(2), inputs[0].dim(3));
    expect_rank(*this, "slots", inputs[2], 1);
    expect_dtype(*this, "slots", inputs[2], DType::i32);
    expect_dim(*this, "the number of slots", inputs[2].dim(0), inputs[1].dim(0));
    return inputs[0];
  }

  Cost cost(std::span<const Tensor> inputs, const Tensor& /*output*/) const override {
    const auto bytes = static_cast<double>(inputs[1].bytes());
    return {.flops = 0, .bytes_read = bytes + static_cast<double>(inputs[2].bytes()), .bytes_written = bytes};
  }

  void reference(std::span<const Tensor> inputs, const Tensor& output) const override {
    const int64_t heads = output.shape[1];
    const int64_t page_tokens = output.shape[2];
    const int64_t head_dim = output.shape[3];
    for (int64_t t = 0; t < inputs[1].shape[0]; ++t) {
      const int64_t slot = inputs[2].i32()[t];
      INGOT_CHECK(slot >= 0 && slot < output.shape[0] * page_tokens, "kv_write: slot {}", slot);
      for (int64_t h = 0; h < heads; ++h) {
        const float* from = inputs[1].f32() + (t * heads + h) * head_dim;
        const int64_t row = (slot / page_tokens * heads + h) * page_tokens + slot % page_tokens;
        std::copy_n(from, head_dim, output.as<float>() + row * head_dim);
      }
    }
  }
};

}  // namespace

Value kv_write(Graph& graph, Value cache, Value x, Value slots, std::string label) {
  return graph.append(std::make_shared<KvWriteOp>(), {cache, x, slots}, std::move(label));
}

}  // namespace ingot::graph
