// gelu: Gaussian error linear unit (Hendrycks and Gimpel, 2016).
#pragma once

#include "graph/graph.h"
#include "graph/ops/unary.h"

namespace ingot::graph {

enum class GeluKind : uint8_t {
  erf,   // x/2 (1 + erf(x / sqrt 2)), "gelu"
  tanh,  // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), "gelu_new", "gelu_pytorch_tanh"
};

class GeluOp final : public UnaryOp {
 public:
  explicit GeluOp(GeluKind kind) : kind_(kind) {}
  GeluKind kind() const { return kind_; }
  std::string_view name() const override { return "gelu"; }
  std::string attributes() const override { return kind_ == GeluKind::erf ? "erf" : "tanh"; }
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const override;

 private:
  GeluKind kind_;
};

/// x: f32 of any shape.
Value gelu(Graph& graph, Value x, GeluKind kind, std::string label = {});

}  // namespace ingot::graph
