#include "graph/ops/add.h"

#include "graph/ops/binary.h"

namespace ingot::graph {
namespace {

class AddOp final : public BinaryOp {
 public:
  std::string_view name() const override { return "add"; }

  void reference(std::span<const Tensor> inputs, const Tensor& output) const override {
    const int64_t row = inputs[1].elements();
    for (int64_t i = 0; i < output.elements(); ++i) {
      output.as<float>()[i] = inputs[0].f32()[i] + inputs[1].at(i % row);
    }
  }
};

}  // namespace

Value add(Graph& graph, Value a, Value b, std::string label) {
  return graph.append(std::make_shared<AddOp>(), {a, b}, std::move(label));
}

}  // namespace ingot::graph
