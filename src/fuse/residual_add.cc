// residual + linear(…): the addition moves into the linear that ends a block. Floating-point addition
// commutes, so either operand may be the linear.
#include "fuse/epilogue.h"
#include "fuse/passes.h"

namespace ingot::fuse {

using graph::LinearForm;
using graph::Node;
using graph::Value;

void residual_add(Rewriter& rewriter) {
  const graph::Graph& graph = rewriter.graph();
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.kind != graph::NodeKind::op || node.op->name() != "add") continue;
    for (const size_t side : {size_t{1}, size_t{0}}) {
      const Value residual = node.inputs[1 - side];
      if (graph.type(residual) != node.type) continue;
      const auto linear = linear_before(rewriter, node.inputs[side]);
      if (!linear) continue;
      LinearForm form = linear->form;
      form.residual = true;
      if (absorb(rewriter, *linear, {static_cast<int32_t>(i)}, form, residual)) break;
    }
  }
}

}  // namespace ingot::fuse
