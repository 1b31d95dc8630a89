#include "graph/print.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace ingot::graph {
namespace {

std::string_view kind_name(NodeKind kind) {
  switch (kind) {
    case NodeKind::input:
      return "input";
    case NodeKind::weight:
      return "weight";
    case NodeKind::state:
      return "state";
    case NodeKind::op:
      return "op";
    case NodeKind::result:
      return "result";
  }
  return "?";
}

std::string escape(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

std::string to_text(const Graph& graph) {
  std::string text;
  int id = 0;
  for (const Node& node : graph.nodes()) {
    text += fmt::format("%{} = ", id++);
    if (node.kind == NodeKind::result) {
      text += fmt::format("result {} of %{} : {}\n", node.index, node.inputs[0].id, to_string(node.type));
      continue;
    }
    if (node.kind != NodeKind::op) {
      text += fmt::format("{} '{}' : {}\n", kind_name(node.kind), node.name, to_string(node.type));
      continue;
    }
    text += fmt::format("{}(", node.op->name());
    for (size_t i = 0; i < node.inputs.size(); ++i)
      text += fmt::format("{}%{}", i ? ", " : "", node.inputs[i].id);
    const std::string attributes = node.op->attributes();
    if (!attributes.empty()) text += fmt::format("; {}", attributes);
    text += fmt::format(") : {}", to_string(node.type));
    if (!node.name.empty()) text += fmt::format("  # {}", node.name);
    text += '\n';
  }
  for (const Output& output : graph.outputs())
    text += fmt::format("output '{}' = %{}\n", output.name, output.value.id);
  return text;
}

std::string to_dot(const Graph& graph) {
  std::string text = "digraph ingot {\n  node [fontname=\"monospace\"];\n";
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const bool is_op = node.kind == NodeKind::op;
    const std::string name = is_op                           ? std::string(node.op->name())
                             : node.kind == NodeKind::result ? fmt::format("result {}", node.index)
                                                             : node.name;
    text += fmt::format("  n{} [label=\"{}\\n{}\"{}];\n", i, escape(name), to_string(node.type),
                        is_op ? "" : ", shape=box");
    for (Value input : node.inputs) text += fmt::format("  n{} -> n{};\n", input.id, i);
  }
  for (const Output& output : graph.outputs()) {
    text += fmt::format("  \"out {}\" [shape=box];\n  n{} -> \"out {}\";\n", escape(output.name),
                        output.value.id, escape(output.name));
  }
  return text + "}\n";
}

std::string to_json(const Graph& graph) {
  nlohmann::ordered_json nodes = nlohmann::ordered_json::array();
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    nlohmann::ordered_json entry = {{"id", i}, {"kind", kind_name(node.kind)}};
    if (node.op) {
      entry["op"] = node.op->name();
      entry["attributes"] = node.op->attributes();
      auto& inputs = entry["inputs"] = nlohmann::ordered_json::array();
      for (Value input : node.inputs) inputs.push_back(input.id);
    }
    if (node.kind == NodeKind::result) {
      entry["inputs"] = {node.inputs[0].id};
      entry["index"] = node.index;
    }
    entry["dtype"] = to_string(node.type.dtype);
    auto& dims = entry["dims"] = nlohmann::ordered_json::array();
    for (const Dim& dim : node.type.dims) {
      if (dim.is_static()) {
        dims.push_back(dim.extent());
      } else {
        dims.push_back(to_string(dim));
      }
    }
    if (!node.name.empty()) entry["name"] = node.name;
    nodes.push_back(std::move(entry));
  }
  nlohmann::ordered_json outputs = nlohmann::ordered_json::array();
  for (const Output& output : graph.outputs())
    outputs.push_back({{"name", output.name}, {"id", output.value.id}});
  return nlohmann::ordered_json{{"nodes", std::move(nodes)}, {"outputs", std::move(outputs)}}.dump(2);
}

}  // namespace ingot::graph
