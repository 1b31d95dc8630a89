// linear + b with b a row: how frameworks without a bias in their linear write one.
#include "fuse/epilogue.h"
#include "fuse/passes.h"

namespace ingot::fuse {

using graph::LinearForm;
using graph::Node;

void linear_add(Rewriter& rewriter) {
  const graph::Graph& graph = rewriter.graph();
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.kind != graph::NodeKind::op || node.op->name() != "add") continue;
    const auto linear = linear_before(rewriter, node.inputs[0]);
    if (!linear || graph.type(node.inputs[1]).rank() != 1) continue;
    LinearForm form = linear->form;
    if (form.add || form.gated || form.activation != graph::Activation::none) continue;
    form.add = true;
    absorb(rewriter, *linear, {static_cast<int32_t>(i)}, form, node.inputs[1]);
  }
}

}  // namespace ingot::fuse
