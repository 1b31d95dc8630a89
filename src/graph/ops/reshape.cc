#include "graph/ops/reshape.h"

#include <cstring>

#include "base/check.h"

namespace ingot::graph {
namespace {

class ReshapeOp final : public Op {
 public:
  explicit ReshapeOp(std::vector<Dim> dims) : dims_(std::move(dims)) {}
  std::string_view name() const override { return "reshape"; }
  std::optional<int> alias_of() const override { return 0; }

  TensorType infer(std::span<const TensorType> inputs) const override {
    expect_inputs(*this, inputs, 1, 1);
    expect_single_values(*this, inputs[0]);
    const TensorType out{inputs[0].dtype, dims_};
    if (out.rank() > Shape::kMaxRank) {
      fail(ErrorCode::invalid_argument, "reshape: expected at most {} dimensions, found {}", Shape::kMaxRank,
           out.rank());
    }
    if (out.elements() != inputs[0].elements()) {
      fail(ErrorCode::invalid_argument, "reshape: expected as many elements as {}, found {}",
           to_string(inputs[0]), to_string(out));
    }
    return out;
  }

  Cost cost(std::span<const Tensor>, const Tensor&) const override { return {}; }

  void reference(std::span<const Tensor> inputs, const Tensor& output) const override {
    if (inputs[0].data != output.data && output.bytes() > 0) {
      std::memcpy(output.data, inputs[0].data, output.bytes());
    }
  }

 private:
  std::vector<Dim> dims_;
};

}  // namespace

Value reshape(Graph& graph, Value x, std::vector<Dim> dims, std::string label) {
  return graph.append(std::make_shared<ReshapeOp>(std::move(dims)), {x}, std::move(label));
}

}  // namespace ingot::graph
