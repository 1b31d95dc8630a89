// Head norms, rope and the KV write behind q, k and v: everything between a layer's norm and its attention
// becomes one op. Starts at attention, whose operands name the three chains, and walks each back to a linear:
// three of one group, or three column ranges of one joint linear.
#include "fuse/passes.h"
#include "graph/ops/linear_fused.h"
#include "graph/ops/linear_qkv.h"
#include "graph/ops/rms_norm.h"
#include "graph/ops/slice.h"

namespace ingot::fuse {
namespace {

using graph::Graph;
using graph::LinearForm;
using graph::Node;
using graph::NodeKind;
using graph::QkvForm;
using graph::Value;

/// What stands between a product and attention, last to first.
struct HeadChain {
  std::vector<Value> members;
  std::optional<Value> table;
  graph::RopeStyle rope = graph::RopeStyle::half;
  std::optional<Value> norm_weight;
  float norm_eps = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;
  Value product;      // the op that multiplies
  size_t part = 0;    // which of a group's results
  int64_t begin = 0;  // joint: columns [begin, end) of the product
  int64_t end = 0;
  bool is_slice = false;
};

bool is_op(const Node& node, std::string_view name) {
  return node.kind == NodeKind::op && node.op->name() == name;
}

/// Walks back from the heads [T, heads, head_dim] to the product. None where something else stands between,
/// or somebody else reads on the way.
std::optional<HeadChain> walk(const Rewriter& rewriter, Value value) {
  const Graph& graph = rewriter.graph();
  HeadChain chain;
  const auto step_back = [&] {
    chain.members.push_back(value);
    value = graph.node(value).inputs[0];
  };
  const auto alone = [&] { return rewriter.readers(value) == 1 && !rewriter.is_taken(value); };
  if (graph.type(value).rank() != 3 || !alone()) return std::nullopt;
  chain.heads = graph.type(value).dim(1).extent();
  chain.head_dim = graph.type(value).dim(2).extent();
  if (is_op(graph.node(value), "rope")) {
    chain.table = graph.node(value).inputs[1];
    chain.rope = static_cast<const graph::RopeOp&>(*graph.node(value).op).style();
    step_back();
  }
  if (is_op(graph.node(value), "rms_norm") && alone()) {
    chain.norm_weight = graph.node(value).inputs[1];
    chain.norm_eps = static_cast<const graph::RmsNormOp&>(*graph.node(value).op).eps();
    step_back();
  }
  if (!is_op(graph.node(value), "reshape") || !alone()) return std::nullopt;
  step_back();
  if (!alone()) return std::nullopt;
  const Node& node = graph.node(value);
  if (is_op(node, "slice")) {
    const auto& slice = static_cast<const graph::SliceOp&>(*node.op);
    if (slice.axis() != 1) return std::nullopt;
    chain.is_slice = true;
    chain.begin = slice.begin();
    chain.end = slice.end();
    step_back();
    if (rewriter.readers(value) != 3) return std::nullopt;
  } else if (node.kind == NodeKind::result) {
    chain.part = static_cast<size_t>(node.index) + 1;
    value = node.inputs[0];
  }
  chain.product = value;
  if (rewriter.is_taken(value)) return std::nullopt;
  return chain;
}

/// kv_write(state, heads, slots) that only this attention reads.
const Node* cache_write(const Rewriter& rewriter, Value value) {
  const Node& node = rewriter.graph().node(value);
  return is_op(node, "kv_write") && !rewriter.is_taken(value) ? &node : nullptr;
}

/// Whether three parts of these widths are q, k and v of one product, in a form the op has.
std::optional<QkvForm> form_of(const Graph& graph, const HeadChain& q, const HeadChain& k,
                               const HeadChain& v) {
  if (q.product != k.product || q.product != v.product) return std::nullopt;
  const auto linear = linear_form_of(graph.node(q.product));
  if (!linear) return std::nullopt;
  const bool plain = !linear->gated && !linear->add && !linear->residual &&
                     linear->norm.kind == graph::NormPrologue::Kind::none &&
                     linear->activation == graph::Activation::none;
  const bool same_rope = q.table == k.table && (!q.table || q.rope == k.rope) && !v.table;
  const bool same_norm = q.norm_weight.has_value() == k.norm_weight.has_value() &&
                         (!q.norm_weight || q.norm_eps == k.norm_eps) && !v.norm_weight;
  const bool same_heads = k.heads == v.heads && q.head_dim == k.head_dim && q.head_dim == v.head_dim;
  if (!plain || !same_rope || !same_norm || !same_heads) return std::nullopt;
  QkvForm form;
  form.order = linear->parts[0].order;
  form.has_bias = linear->parts[0].has_bias;
  form.heads = q.heads;
  form.kv_heads = k.heads;
  form.head_dim = q.head_dim;
  if (q.norm_weight) form.head_norm_eps = q.norm_eps;
  if (q.table) form.rope = q.rope;
  form.is_joint = q.is_slice;
  if (q.is_slice != k.is_slice || q.is_slice != v.is_slice) return std::nullopt;
  if (form.is_joint) {
    const bool in_order = q.begin == 0 && q.end == k.begin && k.end == v.begin &&
                          v.end == graph.type(q.product).dim(1).extent() && linear->parts.size() == 1;
    if (!in_order) return std::nullopt;
    return form;
  }
  const bool distinct = q.part != k.part && q.part != v.part && k.part != v.part;
  if (linear->parts.size() != 3 || !distinct) return std::nullopt;
  for (const LinearForm::Part& part : linear->parts) {
    if (part != linear->parts[0]) return std::nullopt;
  }
  return form;
}

void fuse_attention_inputs(Rewriter& rewriter, const Node& attention) {
  const Graph& graph = rewriter.graph();
  const Value keys = attention.inputs[1];
  const Value values = attention.inputs[2];
  const Node* write_k = cache_write(rewriter, keys);
  const Node* write_v = cache_write(rewriter, values);
  if (write_k == nullptr || write_v == nullptr || write_k->inputs[2] != write_v->inputs[2]) return;
  const auto q = walk(rewriter, attention.inputs[0]);
  const auto k = walk(rewriter, write_k->inputs[1]);
  const auto v = walk(rewriter, write_v->inputs[1]);
  if (!q || !k || !v) return;
  const auto form = form_of(graph, *q, *k, *v);
  if (!form) return;

  const Node& product = graph.node(q->product);
  const LinearForm linear = *linear_form_of(product);
  Replacement replacement{.op = std::make_shared<graph::LinearQkvOp>(*form),
                          .inputs = {product.inputs[0]},
                          .members = {q->product},
                          .outputs = {attention.inputs[0], keys, values}};
  const auto add_part = [&](size_t part) {
    replacement.inputs.insert(replacement.inputs.end(), product.inputs.begin() + linear.weight_input(part),
                              product.inputs.begin() + linear.weight_input(part + 1));
  };
  if (form->is_joint) {
    add_part(0);
  } else {
    for (const size_t part : {q->part, k->part, v->part}) add_part(part);
  }
  for (const auto& optional : {q->norm_weight, k->norm_weight, q->table}) {
    if (optional) replacement.inputs.push_back(*optional);
  }
  for (Value value : {write_k->inputs[2], write_k->inputs[0], write_v->inputs[0]})
    replacement.inputs.push_back(value);
  for (const HeadChain* chain : {&*q, &*k, &*v})
    replacement.members.insert(replacement.members.end(), chain->members.begin(), chain->members.end());
  replacement.members.push_back(keys);
  replacement.members.push_back(values);
  rewriter.replace(std::move(replacement));
}

}  // namespace

void qkv(Rewriter& rewriter) {
  const Graph& graph = rewriter.graph();
  for (const Node& node : graph.nodes()) {
    if (is_op(node, "attention")) fuse_attention_inputs(rewriter, node);
  }
}

}  // namespace ingot::fuse
