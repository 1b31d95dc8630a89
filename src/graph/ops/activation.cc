#include "graph/ops/activation.h"

#include "graph/ops/gelu.h"
#include "graph/ops/silu.h"

namespace ingot::graph {

std::string_view to_string(Activation activation) {
  switch (activation) {
    case Activation::none:
      return "";
    case Activation::gelu_erf:
      return "gelu_erf";
    case Activation::gelu_tanh:
      return "gelu_tanh";
    case Activation::silu:
      return "silu";
  }
  return "?";
}

Activation activation_of(const Op& op) {
  if (op.name() == "silu") return Activation::silu;
  if (op.name() != "gelu") return Activation::none;
  return static_cast<const GeluOp&>(op).kind() == GeluKind::erf ? Activation::gelu_erf
                                                                : Activation::gelu_tanh;
}

Value append_activation(Graph& graph, Value x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu_erf:
      return gelu(graph, x, GeluKind::erf);
    case Activation::gelu_tanh:
      return gelu(graph, x, GeluKind::tanh);
    case Activation::silu:
      return silu(graph, x);
  }
  return x;
}

}  // namespace ingot::graph
