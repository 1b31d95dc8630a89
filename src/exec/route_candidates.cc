#include "exec/route_candidates.h"

#include <fmt/format.h>

#include <algorithm>

#include "exec/cost_model.h"
#include "exec/kernel_step.h"
#include "exec/plan.h"
#include "graph/fused_op.h"

namespace ingot::exec {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

/// Finds kernels and predicts; keeps the lists of operands that it asks with.
class Asker {
 public:
  Asker(const graph::DimValues& bucket, backend::StepClass step, std::span<const Device> devices,
        double working_set)
      : bucket_(bucket),
        step_(step),
        devices_(devices),
        working_set_(working_set),
        calibrated_(is_calibrated(devices)) {}

  Candidate ask(const Graph& graph, Value node, size_t device) {
    Candidate candidate = ask_for_kernel(graph, node, device);
    if (candidate.kernel == nullptr) candidate.us = unfused_us(graph, node, device);
    return candidate;
  }

 private:
  Candidate ask_for_kernel(const Graph& graph, Value value, size_t device) {
    const Node& node = graph.node(value);
    types_.clear();
    shapes_.clear();
    for (Value input : node.inputs) {
      types_.push_back(graph.type(input));
      shapes_.push_back(shape_of(graph, input, bucket_));
    }
    const Device& on = devices_[device];
    Candidate candidate;
    candidate.kernel = on.backend->find_kernel({.op = *node.op,
                                                .inputs = types_,
                                                .output = node.type,
                                                .step = kernel_step(step_, node.type, bucket_)});
    // A fused op's reference is its parts one by one, over storage that it allocates: a plan does that
    // better.
    const bool is_reference = candidate.kernel != nullptr && candidate.kernel->name == "reference";
    if (is_reference && graph::as_fused(*node.op) != nullptr) candidate.kernel = nullptr;
    if (candidate.kernel == nullptr) return candidate;
    candidate.us = calibrated_ ? predict_us(*on.costs, *candidate.kernel, *node.op, shapes_,
                                            shape_of(graph, value, bucket_), working_set_)
                               : static_cast<double>(device);
    return candidate;
  }

  double unfused_us(const Graph& graph, Value value, size_t device) {
    const Node& node = graph.node(value);
    const graph::FusedOp* fused = graph::as_fused(*node.op);
    if (fused == nullptr) return kImpossible;
    Graph parts;
    std::vector<Value> inputs;
    for (Value input : node.inputs)
      inputs.push_back(parts.state(fmt::format("{}", inputs.size()), graph.type(input)));
    fused->decompose(parts, inputs);
    double us = 0;
    for (size_t i = 0; i < parts.nodes().size(); ++i) {
      if (!is_launched(parts.nodes()[i])) continue;
      us += ask_for_kernel(parts, {static_cast<int32_t>(i)}, device).us;
    }
    return calibrated_ || us == kImpossible ? us : static_cast<double>(device);
  }

  const graph::DimValues& bucket_;
  backend::StepClass step_;
  std::span<const Device> devices_;
  double working_set_;
  bool calibrated_;
  std::vector<graph::TensorType> types_;
  std::vector<graph::Tensor> shapes_;
};

}  // namespace

bool is_calibrated(std::span<const Device> devices) {
  return std::all_of(devices.begin(), devices.end(),
                     [](const Device& device) { return device.costs != nullptr; });
}

std::vector<LaunchCandidates> find_candidates(const Graph& graph, const graph::DimValues& bucket,
                                              backend::StepClass step, std::span<const Device> devices) {
  Asker asker(bucket, step, devices, working_set_bytes(graph, bucket));
  std::vector<LaunchCandidates> launches;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    if (!is_launched(graph.nodes()[i])) continue;
    LaunchCandidates launch{.node = {static_cast<int32_t>(i)}, .by_device = {}};
    for (size_t device = 0; device < devices.size(); ++device)
      launch.by_device.push_back(asker.ask(graph, launch.node, device));
    launches.push_back(std::move(launch));
  }
  return launches;
}

double working_set_bytes(const Graph& graph, const graph::DimValues& bucket) {
  std::vector<bool> is_read(graph.nodes().size(), false);
  for (const Node& node : graph.nodes()) {
    if (node.kind != NodeKind::op) continue;
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      const bool is_lookup = node.op->name() == "embedding" && k == 1;
      if (!is_lookup) is_read[static_cast<size_t>(node.inputs[k].id)] = true;
    }
  }
  double bytes = 0;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const NodeKind kind = graph.nodes()[i].kind;
    if (!is_read[i] || (kind != NodeKind::weight && kind != NodeKind::state)) continue;
    bytes += static_cast<double>(shape_of(graph, {static_cast<int32_t>(i)}, bucket).bytes());
  }
  return bytes;
}

}  // namespace ingot::exec
