#include <algorithm>

#include "base/check.h"
#include "exec/memory_planner.h"
#include "exec/plan.h"

namespace ingot::exec {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

constexpr int kForever = 1 << 30;

size_t index(Value value) {
  return static_cast<size_t>(value.id);
}

/// For each node, the launch that reads it last; outputs are read after the end.
std::vector<int> last_uses(const Graph& graph) {
  std::vector<int> last(graph.nodes().size(), -1);
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    // A further result is written by its op: it reads nothing, but lives from there on.
    if (node.kind == NodeKind::result) continue;
    for (Value input : node.inputs) last[index(input)] = static_cast<int>(i);
  }
  for (const graph::Output& output : graph.outputs()) last[index(output.value)] = kForever;
  return last;
}

/// Gives every node its root: the value whose storage it shares. Views and cache versions share always; an op
/// that can run in place does when the input's storage, of the same size, has no later reader.
class Roots {
 public:
  Roots(const Graph& graph, const graph::DimValues& bucket)
      : graph_(graph), bucket_(bucket), last_use_(last_uses(graph)), last_of_root_(graph.nodes().size(), -1) {
    for (size_t i = 0; i < graph.nodes().size(); ++i) roots_.push_back(root_of(i));
  }
  Value operator[](size_t node) const { return roots_[node]; }
  /// The last launch that reads the root's storage under any name.
  int last_use(size_t root) const { return last_of_root_[root]; }

 private:
  Value root_of(size_t i) {
    const Node& node = graph_.nodes()[i];
    Value root{static_cast<int32_t>(i)};
    if (const auto alias = graph::alias_of(graph_, root)) {
      root = roots_[index(*alias)];
    } else if (node.kind == NodeKind::op) {
      for (size_t k = 0; k < node.inputs.size(); ++k) {
        if (!node.op->in_place(static_cast<int>(k)) || !may_overwrite(i, node.inputs[k])) continue;
        root = roots_[index(node.inputs[k])];
        break;
      }
    }
    int& last = last_of_root_[index(root)];
    last = std::max({last, last_use_[i], static_cast<int>(i)});
    return root;
  }

  bool may_overwrite(size_t i, Value input) const {
    const Value root = roots_[index(input)];
    const Node& owner = graph_.node(root);
    const bool is_intermediate = owner.kind == NodeKind::op || owner.kind == NodeKind::result;
    if (!is_intermediate || last_of_root_[index(root)] != static_cast<int>(i)) return false;
    const Node& node = graph_.nodes()[i];
    // Another input of this node may not be a second view of the storage.
    const auto shares = [&](Value other) { return roots_[index(other)] == root; };
    if (std::count_if(node.inputs.begin(), node.inputs.end(), shares) != 1) return false;
    return shape_of(graph_, {static_cast<int32_t>(i)}, bucket_).bytes() ==
           shape_of(graph_, root, bucket_).bytes();
  }

  const Graph& graph_;
  const graph::DimValues& bucket_;
  std::vector<int> last_use_;
  std::vector<int> last_of_root_;
  std::vector<Value> roots_;
};

void choose_kernels(Plan& plan, const backend::Backend& backend) {
  const Graph& graph = *plan.graph;
  std::vector<graph::TensorType> types;
  std::vector<graph::Tensor> shapes;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.kind != NodeKind::op) continue;
    types.clear();
    shapes.clear();
    for (Value input : node.inputs) {
      types.push_back(graph.type(input));
      shapes.push_back(shape_of(graph, input, plan.bucket));
    }
    const Value value{static_cast<int32_t>(i)};
    if (node.op->alias_of() && !node.op->writes_alias()) continue;  // a view
    const backend::Kernel* kernel =
        backend.find_kernel({.op = *node.op, .inputs = types, .output = node.type, .step = plan.step});
    if (kernel == nullptr) {
      fail(ErrorCode::unsupported, "{}: no kernel for {} : {} in a {} step", backend.name(), node.op->name(),
           to_string(node.type), to_string(plan.step));
    }
    PlannedLaunch launch{.node = value, .kernel = kernel, .workspace_bytes = 0, .reason = "the only device"};
    if (kernel->workspace_bytes != nullptr) {
      launch.workspace_bytes =
          kernel->workspace_bytes(backend, {.op = node.op.get(),
                                            .inputs = shapes,
                                            .output = shape_of(graph, value, plan.bucket),
                                            .results = {},
                                            .workspace = {}});
    }
    plan.workspace_bytes = std::max(plan.workspace_bytes, launch.workspace_bytes);
    plan.launches.push_back(std::move(launch));
  }
}

void place_values(Plan& plan) {
  const Graph& graph = *plan.graph;
  const Roots roots(graph, plan.bucket);
  std::vector<Lifetime> blocks;
  std::vector<size_t> block_of(graph.nodes().size(), SIZE_MAX);
  const auto end = static_cast<int>(graph.nodes().size());
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const bool is_result = node.kind == NodeKind::result;
    if ((node.kind != NodeKind::op && !is_result) || index(roots[i]) != i) continue;
    block_of[i] = blocks.size();
    blocks.push_back({.bytes = shape_of(graph, roots[i], plan.bucket).bytes(),
                      .first = is_result ? node.inputs[0].id : static_cast<int>(i),
                      .last = std::min(end, roots.last_use(i))});
  }
  plan.arena_bytes = place(blocks);
  plan.live_bytes = peak_live_bytes(blocks);
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    Place place{.kind = Place::Kind::arena, .offset = 0, .root = roots[i]};
    switch (graph.node(roots[i]).kind) {
      case NodeKind::input:
        place.kind = Place::Kind::input;
        break;
      case NodeKind::weight:
        place.kind = Place::Kind::weight;
        break;
      case NodeKind::state:
        place.kind = Place::Kind::state;
        break;
      case NodeKind::op:
      case NodeKind::result:
        place.offset = blocks[block_of[index(roots[i])]].offset;
        break;
    }
    plan.places.push_back(place);
  }
}

}  // namespace

graph::Tensor shape_of(const Graph& graph, Value value, const graph::DimValues& dims) {
  const graph::TensorType& type = graph.type(value);
  return {.data = nullptr, .dtype = type.dtype, .shape = type.bind(dims)};
}

std::shared_ptr<const Plan> compile(std::shared_ptr<const Graph> graph, const graph::DimValues& bucket,
                                    backend::StepClass step, const backend::Backend& backend) {
  verify(*graph);
  auto plan = std::make_shared<Plan>();
  plan->graph = std::move(graph);
  plan->step = step;
  plan->bucket = bucket;
  choose_kernels(*plan, backend);
  place_values(*plan);
  return plan;
}

}  // namespace ingot::exec
