#include "exec/runner.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "exec/memory_planner.h"

namespace ingot::exec {

using graph::Node;
using graph::NodeKind;
using graph::Tensor;
using graph::Value;

namespace {

/// Further results of an op; their nodes follow it.
size_t result_count(const graph::Graph& graph, Value op) {
  size_t count = 0;
  const auto nodes = graph.nodes().subspan(static_cast<size_t>(op.id) + 1);
  while (count < nodes.size() && nodes[count].kind == NodeKind::result) ++count;
  return count;
}

}  // namespace

/// A plan with addresses: tensors by node, and launches whose inputs lie side by side.
struct Runner::Bound {
  std::shared_ptr<const Plan> plan;
  std::vector<Tensor> values;    // by node
  std::vector<Tensor> operands;  // inputs and results of all launches, one after the other
  std::vector<backend::Launch> launches;
  std::vector<const backend::Kernel*> kernels;
  graph::DimValues dims;  // that the shapes are bound to
  bool is_bound = false;
};

Runner::Runner(backend::Backend& backend, std::vector<std::shared_ptr<const Plan>> plans,
               std::map<std::string, Array, std::less<>> states)
    : backend_(backend), states_(std::move(states)) {
  size_t arena = 0;
  size_t workspace = 0;
  std::map<std::string_view, Tensor> largest;
  for (const auto& plan : plans) {
    arena = std::max(arena, plan->arena_bytes);
    workspace = std::max(workspace, plan->workspace_bytes);
    for (size_t i = 0; i < plan->graph->nodes().size(); ++i) {
      const Node& node = plan->graph->nodes()[i];
      if (node.kind != NodeKind::input) continue;
      const Tensor tensor = shape_of(*plan->graph, {static_cast<int32_t>(i)}, plan->bucket);
      const auto [entry, is_new] = largest.try_emplace(node.name, tensor);
      if (!is_new && tensor.bytes() > entry->second.bytes()) entry->second = tensor;
    }
  }
  for (auto& [name, tensor] : largest) {
    input_buffers_.push_back(backend_.allocate(std::max<size_t>(tensor.bytes(), 1)));
    input_bytes_ += tensor.bytes();
    tensor.data = input_buffers_.back().data();
    std::memset(tensor.data, 0, tensor.bytes());
    inputs_.emplace(name, tensor);
  }
  arena_bytes_ = arena + workspace;
  arena_ = backend_.allocate(std::max<size_t>(arena_bytes_, 1));
  auto* base = static_cast<std::byte*>(arena_.data());

  for (auto& plan : plans) {
    auto bound = std::make_unique<Bound>();
    const graph::Graph& graph = *plan->graph;
    for (size_t i = 0; i < graph.nodes().size(); ++i) {
      const Node& root = graph.node(plan->places[i].root);
      Tensor tensor = shape_of(graph, {static_cast<int32_t>(i)}, plan->bucket);
      switch (plan->places[i].kind) {
        case Place::Kind::weight:
          tensor.data = const_cast<void*>(backend_.import_host(root.weight.raw(), root.weight.bytes()));
          break;
        case Place::Kind::input:
          tensor.data = inputs_.find(root.name)->second.data;
          break;
        case Place::Kind::state: {
          const auto state = states_.find(root.name);
          if (state == states_.end())
            fail(ErrorCode::not_found, "runner: state '{}' has no storage", root.name);
          const Tensor needed = shape_of(graph, plan->places[i].root, plan->bucket);
          if (state->second.dtype() != needed.dtype || state->second.shape() != needed.shape) {
            fail(ErrorCode::invalid_argument, "runner: state '{}': expected {}{}, found {}{}", root.name,
                 to_string(needed.dtype), to_string(needed.shape), to_string(state->second.dtype()),
                 to_string(state->second.shape()));
          }
          tensor.data = state->second.mutable_raw();
          break;
        }
        case Place::Kind::arena:
          tensor.data = base + plan->places[i].offset;
          break;
      }
      bound->values.push_back(tensor);
    }
    size_t operands = 0;
    for (const PlannedLaunch& planned : plan->launches)
      operands += graph.node(planned.node).inputs.size() + result_count(graph, planned.node);
    bound->operands.reserve(operands);
    for (const PlannedLaunch& planned : plan->launches) {
      const Node& node = graph.node(planned.node);
      const Tensor* first = bound->operands.data() + bound->operands.size();
      for (Value input : node.inputs) bound->operands.push_back(bound->values[static_cast<size_t>(input.id)]);
      const size_t results = result_count(graph, planned.node);
      for (size_t i = 1; i <= results; ++i)
        bound->operands.push_back(bound->values[static_cast<size_t>(planned.node.id) + i]);
      bound->launches.push_back({.op = node.op.get(),
                                 .inputs = {first, node.inputs.size()},
                                 .output = bound->values[static_cast<size_t>(planned.node.id)],
                                 .results = {first + node.inputs.size(), results},
                                 .workspace = {base + arena, planned.workspace_bytes}});
      bound->kernels.push_back(planned.kernel);
    }
    bound->plan = std::move(plan);
    bound_.push_back(std::move(bound));
  }
}

Runner::~Runner() = default;

graph::Tensor Runner::input(std::string_view name) const {
  const auto found = inputs_.find(name);
  if (found == inputs_.end()) fail(ErrorCode::not_found, "runner: no step input is named '{}'", name);
  return found->second;
}

/// Gives every tensor its shape for these sizes. Steps of equal sizes follow each other, so most find it
/// done.
void Runner::bind(Bound& bound, const graph::DimValues& dims) const {
  if (bound.is_bound && dims.values == bound.dims.values) return;
  const graph::Graph& graph = *bound.plan->graph;
  for (size_t i = 0; i < bound.dims.values.size(); ++i) {
    INGOT_CHECK(dims.values[i] >= 0 && dims.values[i] <= bound.plan->bucket.values[i],
                "a step of {} {} in a bucket of {}", dims.values[i],
                graph::symbol_letter(static_cast<graph::Symbol>(i)), bound.plan->bucket.values[i]);
  }
  for (size_t i = 0; i < bound.values.size(); ++i) bound.values[i].shape = graph.nodes()[i].type.bind(dims);
  size_t operand = 0;
  for (size_t i = 0; i < bound.launches.size(); ++i) {
    const Node& node = graph.node(bound.plan->launches[i].node);
    for (Value input : node.inputs)
      bound.operands[operand++].shape = bound.values[static_cast<size_t>(input.id)].shape;
    for (size_t k = 1; k <= bound.launches[i].results.size(); ++k) {
      const auto result = static_cast<size_t>(bound.plan->launches[i].node.id) + k;
      bound.operands[operand++].shape = bound.values[result].shape;
    }
    bound.launches[i].output.shape = bound.values[static_cast<size_t>(bound.plan->launches[i].node.id)].shape;
  }
  bound.dims = dims;
  bound.is_bound = true;
}

void Runner::run(size_t plan, const graph::DimValues& dims) {
  INGOT_CHECK(plan < bound_.size(), "plan {} of {}", plan, bound_.size());
  Bound& bound = *bound_[plan];
  bind(bound, dims);
  backend_.submit(bound.kernels, bound.launches);
  backend_.synchronize();
}

graph::Tensor Runner::output(size_t plan, std::string_view name) const {
  const Bound& bound = *bound_[plan];
  for (const graph::Output& output : bound.plan->graph->outputs()) {
    if (output.name == name) return bound.values[static_cast<size_t>(output.value.id)];
  }
  fail(ErrorCode::not_found, "runner: the plan has no output named '{}'", name);
}

const Plan& Runner::plan(size_t index) const {
  return *bound_[index]->plan;
}

size_t Runner::bytes() const {
  return arena_bytes_ + input_bytes_;
}

}  // namespace ingot::exec
