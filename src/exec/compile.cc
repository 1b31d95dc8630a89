// compile: fuse, route, expand what has no kernel, plan memory; again while a device is full.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/check.h"
#include "exec/cost_model.h"
#include "exec/kernel_step.h"
#include "exec/layout.h"
#include "exec/plan.h"
#include "exec/route_graph.h"
#include "exec/route_rules.h"
#include "graph/fused_op.h"

namespace ingot::exec {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

/// Which memory each device works in, and what it has to say.
void find_memories(Plan& plan, std::span<const Device> devices) {
  plan.host = static_cast<int>(devices.size());
  for (size_t i = 0; i < devices.size(); ++i) {
    plan.devices.push_back(devices[i].name);
    const backend::Limits limits = devices[i].backend->limits();
    for (const std::string& note : limits.notes) plan.notes.push_back(devices[i].name + ": " + note);
    const bool is_host = limits.shares_host_memory;
    if (is_host) plan.host = std::min(plan.host, static_cast<int>(i));
    plan.memory_of.push_back(is_host ? plan.host : static_cast<int>(i));
    const std::string& hash = devices[i].calibration_hash;
    if (!hash.empty()) plan.calibration_hash += (plan.calibration_hash.empty() ? "" : "+") + hash;
  }
  plan.bytes.resize(std::max(devices.size(), static_cast<size_t>(plan.host) + 1));
}

/// Sentences on devices that are missing. Errors: unsupported with options.strict.
void note_missing(Plan& plan, const CompileOptions& options, std::span<const PassedOver> missing) {
  for (const PassedOver& device : missing) {
    plan.notes.push_back(fmt::format("{} is passed over: {}", device.device, device.reason));
    if (options.strict) fail(ErrorCode::unsupported, "strict: {}", plan.notes.back());
  }
}

/// One sentence for each op that runs unfused on a device, with the number of its launches.
class Expansions {
 public:
  void add(const std::string& device, std::string_view op) { ++counts_[{device, std::string(op)}]; }
  void note(Plan& plan, const CompileOptions& options) const {
    for (const auto& [what, count] : counts_) {
      plan.notes.push_back(fmt::format("{} has no kernel for {}: {} run{} unfused", what.first, what.second,
                                       count, count == 1 ? "s" : ""));
      if (options.strict) fail(ErrorCode::unsupported, "strict: {}", plan.notes.back());
    }
  }

 private:
  std::map<std::pair<std::string, std::string>, int> counts_;
};

/// Replaces the fused ops that no device can run, whole or in parts, by their parts, which may run on
/// several.
std::vector<LaunchCandidates> candidates_of(Plan& plan, std::span<const Device> devices,
                                            const CompileOptions& options) {
  while (true) {
    auto candidates = find_candidates(*plan.graph, plan.bucket, plan.step, devices);
    std::vector<bool> split(plan.graph->nodes().size(), false);
    Expansions expansions;
    bool has_split = false;
    for (const LaunchCandidates& launch : candidates) {
      const bool can = std::any_of(launch.by_device.begin(), launch.by_device.end(),
                                   [](const Candidate& candidate) { return candidate.can_run(); });
      const graph::Op& op = *plan.graph->node(launch.node).op;
      if (can || graph::as_fused(op) == nullptr) continue;
      split[static_cast<size_t>(launch.node.id)] = true;
      has_split = true;
      for (const Device& device : devices) expansions.add(device.name, op.name());
    }
    if (!has_split) return candidates;
    expansions.note(plan, options);
    plan.graph = fuse::expand(*plan.graph, split).graph;
  }
}

/// A launch of `node` on its device: kernel, workspace, prediction.
PlannedLaunch plan_launch(const Plan& plan, std::span<const Device> devices, Value value,
                          const RoutedLaunch& routed, double working_set) {
  const Graph& graph = *plan.graph;
  const Node& node = graph.node(value);
  const Device& device = devices[static_cast<size_t>(routed.device)];
  std::vector<graph::TensorType> types;
  std::vector<graph::Tensor> shapes;
  for (Value input : node.inputs) {
    types.push_back(graph.type(input));
    shapes.push_back(shape_of(graph, input, plan.bucket));
  }
  PlannedLaunch launch;
  launch.node = value;
  launch.device = routed.device;
  launch.reason = routed.reason;
  launch.kernel = device.backend->find_kernel({.op = *node.op,
                                               .inputs = types,
                                               .output = node.type,
                                               .step = kernel_step(plan.step, node.type, plan.bucket)});
  INGOT_CHECK(launch.kernel != nullptr, "{}: no kernel for {}", device.name, node.op->name());
  const graph::Tensor output = shape_of(graph, value, plan.bucket);
  if (device.costs != nullptr)
    launch.predicted_us = predict_us(*device.costs, *launch.kernel, *node.op, shapes, output, working_set);
  if (launch.kernel->workspace_bytes != nullptr) {
    std::vector<graph::Tensor> results;
    for (const graph::Result& result : node.op->results(types))
      results.push_back({nullptr, result.type.dtype, result.type.bind(plan.bucket)});
    launch.workspace_bytes = launch.kernel->workspace_bytes(
        *device.backend,
        {.op = node.op.get(), .inputs = shapes, .output = output, .results = results, .workspace = {}});
  }
  return launch;
}

/// The plan of a way: fused ops that run unfused are expanded, every op gets its kernel, every value its
/// place.
std::shared_ptr<Plan> realise(const Plan& start, std::span<const Device> devices,
                              const CompileOptions& options, std::span<const RoutedLaunch> routed) {
  auto plan = std::make_shared<Plan>(start);
  std::vector<bool> unfused(start.graph->nodes().size(), false);
  std::vector<const RoutedLaunch*> routed_at(start.graph->nodes().size(), nullptr);
  Expansions expansions;
  bool has_unfused = false;
  for (const RoutedLaunch& launch : routed) {
    routed_at[static_cast<size_t>(launch.node.id)] = &launch;
    if (!launch.is_unfused) continue;
    unfused[static_cast<size_t>(launch.node.id)] = true;
    has_unfused = true;
    expansions.add(devices[static_cast<size_t>(launch.device)].name,
                   start.graph->node(launch.node).op->name());
  }
  fuse::Expanded expanded;
  if (has_unfused) {
    expansions.note(*plan, options);
    expanded = fuse::expand(*start.graph, unfused);
    plan->graph = expanded.graph;
  }
  const double working_set = working_set_bytes(*plan->graph, plan->bucket);
  for (size_t i = 0; i < plan->graph->nodes().size(); ++i) {
    if (!is_launched(plan->graph->nodes()[i])) continue;
    const size_t origin = has_unfused ? static_cast<size_t>(expanded.origin[i].id) : i;
    plan->launches.push_back(
        plan_launch(*plan, devices, {static_cast<int32_t>(i)}, *routed_at[origin], working_set));
  }
  lay_out(*plan);
  DeviceCosts host;
  host.device = "host";
  const auto costs = [&](int memory) -> const DeviceCosts& {
    return static_cast<size_t>(memory) < devices.size() ? *devices[static_cast<size_t>(memory)].costs : host;
  };
  for (Transfer& transfer : plan->transfers) {
    if (!is_calibrated(devices)) break;
    const size_t bytes = shape_of(*plan->graph, transfer.value, plan->bucket).bytes();
    transfer.predicted_us = transfer_us(costs(transfer.from), costs(transfer.to), static_cast<double>(bytes));
  }
  return plan;
}

/// The most bytes a plan may take on a device: the user's cap, else what the device has. Host memory has none
/// of its own: the system pages.
std::optional<size_t> cap_of(const Device& device, const CompileOptions& options) {
  const auto cap = options.memory.find(device.name);
  if (cap != options.memory.end()) return static_cast<size_t>(cap->second);
  const backend::Limits limits = device.backend->limits();
  if (limits.shares_host_memory || limits.memory_bytes <= 0) return std::nullopt;
  return static_cast<size_t>(limits.memory_bytes);
}

/// Routes and plans until what every device takes fits its cap: a full one passes trailing layers on.
std::shared_ptr<const Plan> fit(const Plan& start, std::span<const Device> devices,
                                const CompileOptions& options, GraphRouter& router) {
  std::vector<std::string> why_full(devices.size());  // as found first
  std::vector<std::string> notes;
  while (true) {
    const std::vector<RoutedLaunch> routed = router.route();
    auto plan = realise(start, devices, options, routed);
    bool fits = true;
    for (size_t d = 0; d < devices.size() && fits; ++d) {
      const auto cap = cap_of(devices[d], options);
      const size_t needed = plan->bytes[d].total();
      if (!cap || needed <= *cap) continue;
      fits = false;
      std::string full =
          fmt::format("{} is full: needs {} of {}", devices[d].name, bytes_text(static_cast<double>(needed)),
                      bytes_text(static_cast<double>(*cap)));
      if (options.strict) fail(ErrorCode::out_of_memory, "strict: {}", full);
      if (why_full[d].empty()) {
        why_full[d] = full;
        notes.push_back(full + "; trailing layers move on");
      }
      if (!router.take_trailing(static_cast<int>(d), needed - *cap, routed, why_full[d])) {
        fail(ErrorCode::out_of_memory, "{}, and no other device can run more of it", full);
      }
    }
    if (!fits) continue;
    plan->notes.insert(plan->notes.end(), router.notes().begin(), router.notes().end());
    plan->notes.insert(plan->notes.end(), notes.begin(), notes.end());
    return plan;
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
                                    const CompileOptions& options, std::span<const PassedOver> missing) {
  check_rules(options, devices, missing);
  Plan plan;
  plan.source = graph;
  plan.step = step;
  plan.bucket = bucket;
  fuse::FuseResult fused = fuse::fuse(std::move(graph), {.off = options.no_fuse});
  plan.graph = std::move(fused.graph);
  plan.passes = std::move(fused.passes);
  find_memories(plan, devices);
  note_missing(plan, options, missing);
  auto candidates = candidates_of(plan, devices, options);
  GraphRouter router(plan, devices, options, std::move(candidates));
  return fit(plan, devices, options, router);
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
