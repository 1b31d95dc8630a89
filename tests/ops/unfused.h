// A fused op's case as the unfused kernels of its definition compute it, on any backend.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "graph/fused_op.h"
#include "ops/run_case.h"

namespace ingot {

/// One launch of the kernel that the backend has for a node. Returns what it rounds operands by.
inline double launch_node(Backend& backend, const graph::Graph& graph, const graph::Node& node,
                          const std::vector<Tensor>& inputs, const Tensor& output, StepClass step) {
  std::vector<graph::TensorType> types;
  types.reserve(node.inputs.size());
  for (graph::Value input : node.inputs) types.push_back(graph.type(input));
  const backend::Kernel* kernel =
      backend.find_kernel({.op = *node.op, .inputs = types, .output = node.type, .step = step});
  if (kernel == nullptr) {
    ADD_FAILURE() << backend.name() << " has no kernel for " << node.op->name();
    return 0;
  }
  backend::Launch launch{
      .op = node.op.get(), .inputs = inputs, .output = output, .results = {}, .workspace = {}};
  const size_t bytes = kernel->workspace_bytes != nullptr ? kernel->workspace_bytes(backend, launch) : 0;
  const PooledBuffer workspace = backend.allocate(bytes);
  launch.workspace = {static_cast<std::byte*>(workspace.data()), bytes};
  backend.submit({.kernels = {&kernel, 1}, .launches = {&launch, 1}});
  backend.synchronize();
  return kernel->rounding;
}

struct Unfused {
  std::vector<std::byte> bytes;  // of the output and then of every further result
  double rounding = 0;           // the most of the kernels
};

inline Unfused run_unfused(Backend& backend, const BuiltCase& built, StepClass step) {
  graph::Graph graph;
  std::vector<graph::Value> inputs;
  std::vector<Tensor> tensors = built.inputs();
  std::vector<PooledBuffer> storage;
  const auto place = [&](Tensor& tensor) {
    storage.push_back(backend.allocate(std::max<size_t>(tensor.bytes(), 1)));
    tensor.data = storage.back().data();
  };
  for (size_t i = 0; i < tensors.size(); ++i) {
    inputs.push_back(graph.state("input " + std::to_string(i), built.input_types()[i]));
    const void* host = tensors[i].data;
    place(tensors[i]);
    backend.copy(tensors[i].data, host, tensors[i].bytes());
  }
  Unfused unfused;
  const std::vector<graph::Value> outputs = graph::as_fused(built.op())->decompose(graph, inputs);
  for (size_t i = tensors.size(); i < graph.nodes().size(); ++i) {
    const graph::Node& node = graph.nodes()[i];
    Tensor output{.data = nullptr, .dtype = node.type.dtype, .shape = node.type.bind(built.dims)};
    std::vector<Tensor> operands;
    operands.reserve(node.inputs.size());
    for (graph::Value input : node.inputs) operands.push_back(tensors[static_cast<size_t>(input.id)]);
    if (const auto alias = node.op->alias_of()) {
      output.data = operands[static_cast<size_t>(*alias)].data;
    } else {
      place(output);
    }
    tensors.push_back(output);
    const bool is_view = node.op->alias_of() && !node.op->writes_alias();
    if (!is_view) {
      unfused.rounding =
          std::max(unfused.rounding, launch_node(backend, graph, node, operands, output, step));
    }
  }
  for (graph::Value value : outputs) {
    const Tensor& tensor = tensors[static_cast<size_t>(value.id)];
    std::vector<std::byte> part(tensor.bytes());
    backend.copy(part.data(), tensor.data, part.size());
    unfused.bytes.insert(unfused.bytes.end(), part.begin(), part.end());
  }
  return unfused;
}

inline std::vector<std::string> fused_ops() {
  std::vector<std::string> names;
  for (const opcases::OpCases& row : opcases::table()) {
    if (graph::as_fused(build(row.cases().front()).op()) != nullptr) names.emplace_back(row.op);
  }
  return names;
}

}  // namespace ingot
