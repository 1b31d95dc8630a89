// From a graph under construction to a program: what is needed of it, its options, its plan.
#include <algorithm>

#include "api/graph_builder.h"
#include "api/graph_program.h"
#include "api/options.h"

namespace ingot {

using graph::Node;
using graph::NodeKind;
using graph::Symbol;

namespace api {

Needed needed_part(const graph::Graph& graph) {
  const auto nodes = graph.nodes();
  std::vector<bool> needed(nodes.size(), false);
  for (const graph::Output& output : graph.outputs()) needed[static_cast<size_t>(output.value.id)] = true;
  for (size_t i = nodes.size(); i-- > 0;) {
    const Node& node = nodes[i];
    if (node.kind == NodeKind::op && node.op->writes_alias()) needed[i] = true;
    if (node.kind == NodeKind::input || node.kind == NodeKind::state) needed[i] = true;
    if (!needed[i]) continue;
    for (graph::Value input : node.inputs) needed[static_cast<size_t>(input.id)] = true;
  }
  auto result = std::make_shared<graph::Graph>();
  Needed part{result, std::vector<graph::Value>(nodes.size())};
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!needed[i]) continue;
    const Node& node = nodes[i];
    result->set_layer(node.layer);
    switch (node.kind) {
      case NodeKind::input:
        part.moved[i] = result->input(node.name, node.type);
        break;
      case NodeKind::weight:
        part.moved[i] = result->weight(node.name, node.weight);
        break;
      case NodeKind::state:
        part.moved[i] = result->state(node.name, node.type);
        break;
      case NodeKind::op: {
        std::vector<graph::Value> inputs;
        inputs.reserve(node.inputs.size());
        for (graph::Value input : node.inputs) inputs.push_back(part.moved[static_cast<size_t>(input.id)]);
        part.moved[i] = result->append(node.op, std::move(inputs), node.name);
        break;
      }
      case NodeKind::result:
        INGOT_CHECK(false, "the graph API has no op of several results");
    }
  }
  for (const graph::Output& output : graph.outputs())
    result->output(output.name, part.moved[static_cast<size_t>(output.value.id)]);
  return part;
}

}  // namespace api

namespace {

/// Rows from which the kernels for many rows are the faster ones: between 9 and 16 where the weight lies
/// [out, in], above 32 for [in, out] (f32, 512 and 2048 wide, 2 Zen 5 cores).
constexpr int64_t kManyRows = 16;

/// The most rows that a linear of the graph runs on.
int64_t most_rows(const graph::Graph& graph, const graph::DimValues& dims) {
  int64_t rows = 0;
  for (const Node& node : graph.nodes()) {
    if (node.kind == NodeKind::op && node.op->name() == "linear")
      rows = std::max(rows, node.type.dim(0).bind(dims));
  }
  return rows;
}

graph::DimValues values_of(int64_t any) {
  graph::DimValues dims;
  dims[Symbol::tokens] = any;
  return dims;
}

/// Memory can address every value of the graph at this T.
void expect_addressable(const graph::Graph& graph, int64_t any) {
  constexpr double kMostBytes = 0x1p62;
  for (const Node& node : graph.nodes()) {
    double bytes = static_cast<double>(block_of(node.type.dtype).bytes);
    for (const graph::Dim& dim : node.type.dims) {
      const Dim length = api::to_public(dim);
      const auto offset = static_cast<double>(length.at(0));
      const auto factor = static_cast<double>(length.at(1)) - offset;
      bytes *= std::max(1.0, factor * static_cast<double>(any) + offset);
    }
    if (bytes > kMostBytes) {
      fail(ErrorCode::invalid_argument, "most: expected a T that memory can hold, found {} with a value {}",
           any, to_string(node.type));
    }
  }
}

}  // namespace

Program::Impl::Impl(const api::GraphBuilder& builder, const ProgramOptions& asked) : options(asked.options) {
  if (builder.graph.outputs().empty())
    fail(ErrorCode::invalid_argument, "compile: expected at least one output, found none");
  api::check(options);
  api::Needed part = api::needed_part(builder.graph);
  graph = std::move(part.graph);
  checks = builder.checks.moved_to(part.moved);
  for (size_t i = 0; i < graph->nodes().size(); ++i) {
    const Node& node = graph->nodes()[i];
    const auto is_any = [](const graph::Dim& dim) { return !dim.is_static(); };
    if (node.kind == NodeKind::input) {
      inputs.push_back({.name = node.name, .value = {static_cast<int32_t>(i)}, .type = node.type});
      has_any = has_any || std::any_of(node.type.dims.begin(), node.type.dims.end(), is_any);
    } else if (node.kind == NodeKind::state) {
      Array zeros = Array::zeros(node.type.dtype, node.type.bind({}));
      counted.state_bytes += static_cast<int64_t>(zeros.bytes());
      states.emplace(node.name, std::move(zeros));
    } else if (node.kind == NodeKind::weight) {
      counted.constant_bytes += static_cast<int64_t>(node.weight.bytes());
    } else if (!has_any && std::any_of(node.type.dims.begin(), node.type.dims.end(), is_any)) {
      fail(ErrorCode::invalid_argument, "compile: expected an input of variable length, found only {} of {}",
           node.op->name(), to_string(node.type));
    }
    if (exec::is_launched(node)) ++counted.launches_unfused;
  }
  if (asked.most < 0 || (has_any && asked.most == 0)) {
    fail(ErrorCode::invalid_argument, "most: expected the largest T, at least {}, found {}", has_any ? 1 : 0,
         asked.most);
  }
  const int64_t most = has_any ? asked.most : 0;
  expect_addressable(*graph, most);
  step_class = most_rows(*graph, values_of(most)) >= kManyRows ? backend::StepClass::prefill
                                                               : backend::StepClass::decode;
  devices = api::make_devices(options);
  plan_for(most);
}

void Program::Impl::expect_host_states(std::string_view what) const {
  for (const exec::Place& place : plan->places) {
    if (place.kind != exec::Place::Kind::state || place.memory == plan->host) continue;
    fail(ErrorCode::unsupported, "{}: state '{}' is in the memory of {}, which only this plan can read", what,
         plan->graph->node(place.root).name, plan->devices[static_cast<size_t>(place.memory)]);
  }
}

void Program::Impl::plan_for(int64_t length) {
  expect_addressable(*graph, length);
  if (plan != nullptr) expect_host_states("run");
  auto new_plan = plans.get(graph, values_of(length), step_class, devices.devices, options, devices.missing);
  auto new_runner = std::make_unique<exec::Runner>(devices.devices, std::vector{new_plan}, states);
  // Nothing below throws: a plan that cannot be had leaves the one there is.
  if (runner != nullptr) moved_bytes_before += runner->statistics().bytes_moved;
  plan = std::move(new_plan);
  runner = std::move(new_runner);
  for (Input& input : inputs) input.buffer = nullptr;
  for (const Node& node : plan->graph->nodes()) {
    if (node.kind != NodeKind::input) continue;
    for (Input& input : inputs) {
      if (input.name == node.name) input.buffer = runner->input(node.name).data;
    }
  }
  counted.most = length;
}

Program api::Access::compile(const GraphBuilder& builder, const ProgramOptions& options) {
  return Program(std::make_unique<Program::Impl>(builder, options));
}

Program Graph::compile(const ProgramOptions& options) const {
  return api::guarded("compile", [&] { return api::Access::compile(*builder_, options); });
}

}  // namespace ingot
