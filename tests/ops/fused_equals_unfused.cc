// A fused kernel gives the bits of the unfused kernels of its definition, run one after the other.
#include <gtest/gtest.h>

#include "backend/cpu/kernels.h"
#include "backend/registry.h"
#include "graph/fused_op.h"
#include "ops/run_case.h"

namespace ingot {
namespace {

using graph::Graph;
using graph::Node;
using graph::Value;
using opcases::OpCase;

/// One launch of the kernel that the CPU has for a node.
void launch_node(Backend& backend, const Graph& graph, const Node& node, const std::vector<Tensor>& inputs,
                 const Tensor& output, StepClass step) {
  std::vector<graph::TensorType> types;
  types.reserve(node.inputs.size());
  for (Value input : node.inputs) types.push_back(graph.type(input));
  const backend::Kernel* kernel =
      backend.find_kernel({.op = *node.op, .inputs = types, .output = node.type, .step = step});
  ASSERT_NE(kernel, nullptr) << node.op->name();
  backend::Launch launch{
      .op = node.op.get(), .inputs = inputs, .output = output, .results = {}, .workspace = {}};
  const size_t bytes = kernel->workspace_bytes != nullptr ? kernel->workspace_bytes(backend, launch) : 0;
  const PooledBuffer workspace = backend.allocate(bytes);
  launch.workspace = {static_cast<std::byte*>(workspace.data()), bytes};
  backend.submit({.kernels = {&kernel, 1}, .launches = {&launch, 1}});
  backend.synchronize();
}

/// The bytes of the case's output and further results as the unfused kernels give them.
std::vector<std::byte> run_unfused(Backend& backend, const BuiltCase& built, StepClass step) {
  Graph graph;
  std::vector<Value> inputs;
  std::vector<Tensor> tensors = built.inputs();
  std::vector<std::vector<std::byte>> storage;  // kv_write changes its copy of the cache
  for (size_t i = 0; i < tensors.size(); ++i) {
    inputs.push_back(graph.state("input " + std::to_string(i), built.input_types()[i]));
    storage.push_back(bytes_of(tensors[i]));
    tensors[i].data = storage.back().data();
  }
  const graph::FusedOp* fused = graph::as_fused(built.op());
  const std::vector<Value> outputs = fused->decompose(graph, inputs);
  for (size_t i = tensors.size(); i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    Tensor output{.data = nullptr, .dtype = node.type.dtype, .shape = node.type.bind(built.dims)};
    std::vector<Tensor> operands;
    operands.reserve(node.inputs.size());
    for (Value input : node.inputs) operands.push_back(tensors[static_cast<size_t>(input.id)]);
    if (const auto alias = node.op->alias_of()) {
      output.data = operands[static_cast<size_t>(*alias)].data;
    } else {
      storage.emplace_back(output.bytes(), std::byte{0x5a});
      output.data = storage.back().data();
    }
    tensors.push_back(output);
    const bool is_view = node.op->alias_of() && !node.op->writes_alias();
    if (!is_view) launch_node(backend, graph, node, operands, output, step);
  }
  std::vector<std::byte> bytes;
  for (Value value : outputs) {
    const std::vector<std::byte> part = bytes_of(tensors[static_cast<size_t>(value.id)]);
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  return bytes;
}

std::vector<std::string> fused_ops() {
  std::vector<std::string> names;
  for (const opcases::OpCases& row : opcases::table()) {
    if (graph::as_fused(build(row.cases().front()).op()) != nullptr) names.emplace_back(row.op);
  }
  return names;
}

std::vector<std::string> targets() {
  std::vector<std::string> names;
  for (std::string_view name : cpu::simd_target_names()) names.emplace_back(name);
  return names;
}

class FusedKernels : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(FusedKernels, GiveTheBitsOfTheUnfusedOnes) {
  const auto& [target, op] = GetParam();
  cpu::use_simd_target_for_test(target);
  const auto device = backend::make_backend("cpu", {.threads = 3});
  for (const opcases::OpCases& row : opcases::table()) {
    if (row.op != op) continue;
    for (const OpCase& op_case : row.cases()) {
      if (op_case.is_speed_case && target != cpu::simd_target_names().front()) continue;
      const BuiltCase built = build(op_case);
      const std::vector<graph::TensorType> types = built.input_types();
      for (StepClass step : steps_of(*device, built)) {
        SCOPED_TRACE(op_case.name + ", " + std::string(to_string(step)));
        const backend::Kernel* kernel = device->find_kernel(
            {.op = built.op(), .inputs = types, .output = built.graph.type(built.result), .step = step});
        ASSERT_NE(kernel, nullptr);
        ASSERT_NE(kernel->name, "reference") << "no kernel of its own";
        ASSERT_TRUE(run_case(*device, built, step) == run_unfused(*device, built, step));
      }
    }
  }
  cpu::use_simd_target_for_test("");
}

INSTANTIATE_TEST_SUITE_P(All, FusedKernels,
                         testing::Combine(testing::ValuesIn(targets()), testing::ValuesIn(fused_ops())),
                         [](const auto& info) {
                           return target_word(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
                         });

}  // namespace
}  // namespace ingot
