// rms_norm and layer_norm as the prologue of the linears that read them. Several readers may each compute the
// norm again, if the norm then goes and there are few: it costs little beside a product.
#include "fuse/passes.h"
#include "graph/ops/linear_fused.h"
#include "graph/ops/linear_qkv.h"

namespace ingot::fuse {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::NormPrologue;
using graph::Value;

constexpr int kMostReaders = 3;

/// The op with the norm before it; null where it cannot have one.
std::shared_ptr<const graph::Op> with_norm(const Node& node, const NormPrologue& norm) {
  if (const auto* qkv = dynamic_cast<const graph::LinearQkvOp*>(node.op.get())) {
    graph::QkvForm form = qkv->form();
    if (form.norm.kind != NormPrologue::Kind::none) return nullptr;
    form.norm = norm;
    return std::make_shared<graph::LinearQkvOp>(form);
  }
  auto form = linear_form_of(node);
  if (!form || form->norm.kind != NormPrologue::Kind::none) return nullptr;
  form->norm = norm;
  return std::make_shared<graph::FusedLinearOp>(*form);
}

/// The ops that read the value, if all do so as their first input alone.
std::vector<Value> first_input_readers(const Graph& graph, Value value) {
  std::vector<Value> readers;
  for (size_t i = static_cast<size_t>(value.id) + 1; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.kind == NodeKind::op && !node.inputs.empty() && node.inputs[0] == value)
      readers.push_back({static_cast<int32_t>(i)});
  }
  return readers;
}

}  // namespace

void norm_prologue(Rewriter& rewriter) {
  const Graph& graph = rewriter.graph();
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const Value value{static_cast<int32_t>(i)};
    if (node.kind != NodeKind::op || rewriter.readers(value) > kMostReaders) continue;
    const NormPrologue norm = graph::norm_of(*node.op);
    if (norm.kind == NormPrologue::Kind::none) continue;
    const std::vector<Value> readers = first_input_readers(graph, value);
    if (readers.empty() || static_cast<int>(readers.size()) != rewriter.readers(value)) continue;
    std::vector<std::shared_ptr<const graph::Op>> ops;
    for (Value reader : readers) {
      if (auto op = with_norm(graph.node(reader), norm)) ops.push_back(std::move(op));
    }
    if (ops.size() != readers.size()) continue;
    for (size_t k = 0; k < readers.size(); ++k) {
      // x, then the norm's parameters, then the reader's own.
      const std::vector<Value>& own = graph.node(readers[k]).inputs;
      std::vector<Value> inputs = node.inputs;
      inputs.insert(inputs.end(), own.begin() + 1, own.end());
      Replacement replacement{
          .op = ops[k], .inputs = std::move(inputs), .members = {readers[k]}, .outputs = {readers[k]}};
      if (readers.size() == 1) replacement.members.insert(replacement.members.begin(), value);
      for (size_t r = static_cast<size_t>(readers[k].id) + 1;
           r < graph.nodes().size() && graph.nodes()[r].kind == NodeKind::result; ++r)
        replacement.outputs.push_back({static_cast<int32_t>(r)});
      rewriter.replace(std::move(replacement));
    }
  }
}

}  // namespace ingot::fuse
