#include <algorithm>

#include "base/check.h"
#include "exec/layout.h"
#include "exec/plan.h"

namespace ingot::exec {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

/// Which memory each device works in.
void find_memories(Plan& plan, std::span<const Device> devices) {
  plan.host = static_cast<int>(devices.size());
  for (size_t i = 0; i < devices.size(); ++i) {
    plan.devices.push_back(devices[i].name);
    const bool is_host = devices[i].backend->limits().shares_host_memory;
    if (is_host) plan.host = std::min(plan.host, static_cast<int>(i));
    plan.memory_of.push_back(is_host ? plan.host : static_cast<int>(i));
  }
  plan.bytes.resize(std::max(devices.size(), static_cast<size_t>(plan.host) + 1));
}

void choose_kernels(Plan& plan, std::span<const Device> devices) {
  const Graph& graph = *plan.graph;
  std::vector<graph::TensorType> types;
  std::vector<graph::Tensor> shapes;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (!is_launched(node)) continue;
    types.clear();
    shapes.clear();
    for (Value input : node.inputs) {
      types.push_back(graph.type(input));
      shapes.push_back(shape_of(graph, input, plan.bucket));
    }
    const Value value{static_cast<int32_t>(i)};
    const backend::Backend& backend = *devices[0].backend;
    const backend::Kernel* kernel =
        backend.find_kernel({.op = *node.op, .inputs = types, .output = node.type, .step = plan.step});
    if (kernel == nullptr) {
      fail(ErrorCode::unsupported, "{}: no kernel for {} : {} in a {} step", devices[0].name, node.op->name(),
           to_string(node.type), to_string(plan.step));
    }
    PlannedLaunch launch;
    launch.node = value;
    launch.kernel = kernel;
    launch.reason = "the only device";
    if (kernel->workspace_bytes != nullptr) {
      launch.workspace_bytes =
          kernel->workspace_bytes(backend, {.op = node.op.get(),
                                            .inputs = shapes,
                                            .output = shape_of(graph, value, plan.bucket),
                                            .results = {},
                                            .workspace = {}});
    }
    plan.launches.push_back(std::move(launch));
  }
}

}  // namespace

graph::Tensor shape_of(const Graph& graph, Value value, const graph::DimValues& dims) {
  const graph::TensorType& type = graph.type(value);
  return {.data = nullptr, .dtype = type.dtype, .shape = type.bind(dims)};
}

Value viewed(const Graph& graph, Value value) {
  while (true) {
    const Node& node = graph.node(value);
    if (node.kind != NodeKind::op || is_launched(node)) return value;
    value = *graph::alias_of(graph, value);
  }
}

bool is_launched(const Node& node) {
  return node.kind == NodeKind::op && (!node.op->alias_of() || node.op->writes_alias());
}

std::shared_ptr<const Plan> compile(std::shared_ptr<const Graph> graph, const graph::DimValues& bucket,
                                    backend::StepClass step, std::span<const Device> devices,
                                    const CompileOptions& /*options*/,
                                    std::span<const PassedOver> /*missing*/) {
  INGOT_CHECK(!devices.empty(), "a plan for no device");
  verify(*graph);
  auto plan = std::make_shared<Plan>();
  plan->source = graph;
  plan->graph = std::move(graph);
  plan->step = step;
  plan->bucket = bucket;
  find_memories(*plan, devices);
  choose_kernels(*plan, devices);
  lay_out(*plan);
  return plan;
}

std::shared_ptr<const Plan> compile(std::shared_ptr<const Graph> graph, const graph::DimValues& bucket,
                                    backend::StepClass step, const backend::Backend& backend) {
  // Compiling only asks; a runner of the plan is given the backend again, to change.
  const Device device{.backend = const_cast<backend::Backend*>(&backend),
                      .name = std::string(backend.name())};
  CompileOptions options;
  options.no_fuse = {"all"};
  return compile(std::move(graph), bucket, step, {&device, 1}, options);
}

}  // namespace ingot::exec
