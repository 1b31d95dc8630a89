// gelu(linear), silu(linear), and the same of linear + b.
#include "fuse/epilogue.h"
#include "fuse/passes.h"

namespace ingot::fuse {

using graph::Activation;
using graph::LinearForm;
using graph::Node;

void linear_activation(Rewriter& rewriter) {
  const graph::Graph& graph = rewriter.graph();
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.kind != graph::NodeKind::op) continue;
    const Activation activation = activation_of(*node.op);
    if (activation == Activation::none) continue;
    const auto linear = linear_before(rewriter, node.inputs[0]);
    if (!linear || linear->form.gated || linear->form.activation != Activation::none) continue;
    LinearForm form = linear->form;
    form.activation = activation;
    absorb(rewriter, *linear, {static_cast<int32_t>(i)}, form, std::nullopt);
  }
}

}  // namespace ingot::fuse
