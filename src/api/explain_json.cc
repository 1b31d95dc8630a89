// Explanations for programs: JSON with everything, and the fused graph for Graphviz.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "ingot/explain.h"

namespace ingot {
namespace {

using Json = nlohmann::ordered_json;

Json optional(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::string_view name_of(ExplainLimit limit) {
  switch (limit) {
    case ExplainLimit::none:
      return "none";
    case ExplainLimit::memory:
      return "memory";
    case ExplainLimit::compute:
      return "compute";
  }
  return "none";
}

Json row_json(const ExplainRow& row, size_t index) {
  return {{"index", index},
          {"transfer", row.is_transfer},
          {"op", row.op},
          {"attributes", row.attributes},
          {"label", row.label},
          {"type", row.type},
          {"shape", row.shape},
          {"device", row.device},
          {"kernel", row.kernel},
          {"reason", row.reason},
          {"layer", row.layer},
          {"representative", row.representative},
          {"inputs", row.inputs},
          {"reads", row.reads},
          {"flops", row.flops},
          {"bytes", row.bytes},
          {"predicted_us", optional(row.predicted_us)},
          {"measured_us", optional(row.measured_us)},
          {"share", optional(row.share)},
          {"limit", name_of(row.limit)}};
}

Json step_json(const ExplainStep& step) {
  Json passes = Json::array();
  for (const ExplainPass& pass : step.passes) {
    passes.push_back({{"name", pass.name},
                      {"ran", pass.ran},
                      {"rewrites", pass.rewrites},
                      {"nodes_before", pass.nodes_before},
                      {"nodes_after", pass.nodes_after},
                      {"microseconds", pass.microseconds}});
  }
  Json rows = Json::array();
  for (size_t i = 0; i < step.rows.size(); ++i) rows.push_back(row_json(step.rows[i], i));
  Json outputs = Json::array();
  for (const ExplainOutput& output : step.outputs)
    outputs.push_back({{"name", output.name}, {"row", output.row}});
  Json totals = Json::array();
  for (const ExplainTotal& total : step.totals) {
    totals.push_back({{"op", total.op},
                      {"launches", total.launches},
                      {"flops", total.flops},
                      {"bytes", total.bytes},
                      {"predicted_us", optional(total.predicted_us)},
                      {"measured_us", optional(total.measured_us)}});
  }
  Json memory = Json::array();
  for (const ExplainMemory& bytes : step.memory) {
    memory.push_back({{"device", bytes.device},
                      {"arena_bytes", bytes.arena},
                      {"live_bytes", bytes.live},
                      {"workspace_bytes", bytes.workspace},
                      {"weight_bytes", bytes.weights},
                      {"state_bytes", bytes.states}});
  }
  return {{"step", step.step},
          {"tokens", step.tokens},
          {"sequences", step.sequences},
          {"context", step.context},
          {"ops_before", step.ops_before},
          {"ops_after", step.ops_after},
          {"launches_before", step.launches_before},
          {"launches", step.launches},
          {"predicted_us", optional(step.predicted_us)},
          {"measured_us", optional(step.measured_us)},
          {"step_us", optional(step.step_us)},
          {"prediction_error", optional(step.prediction_error)},
          {"prediction_error_rows", step.prediction_error_rows},
          {"memory", std::move(memory)},
          {"calibration", step.calibration},
          {"notes", step.notes},
          {"passes", std::move(passes)},
          {"totals", std::move(totals)},
          {"rows", std::move(rows)},
          {"outputs", std::move(outputs)},
          {"graph_before", step.graph_before},
          {"graph_after", step.graph_after}};
}

std::string dot_string(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

std::string to_json(const Explanation& explanation) {
  Json devices = Json::array();
  for (const ExplainDevice& device : explanation.devices) {
    devices.push_back({{"name", device.name},
                       {"description", device.description},
                       {"read_gbps", device.read_gbps},
                       {"f32_gflops", device.f32_gflops},
                       {"int8_gops", device.int8_gops},
                       {"matrix16_gflops", device.matrix16_gflops}});
  }
  Json steps = Json::array();
  for (const ExplainStep& step : explanation.steps) steps.push_back(step_json(step));
  const Json object = {{"model", explanation.model},    {"architecture", explanation.architecture},
                       {"layers", explanation.layers},  {"parameters", explanation.parameters},
                       {"devices", std::move(devices)}, {"steps", std::move(steps)}};
  // A folder's name need not be UTF-8.
  return object.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string to_dot(const Explanation& explanation) {
  std::string text = "digraph ingot {\n  node [shape=box, fontname=\"monospace\"];\n";
  if (!explanation.steps.empty()) {
    const ExplainStep& step = explanation.steps.front();
    for (size_t i = 0; i < step.rows.size(); ++i) {
      const ExplainRow& row = step.rows[i];
      std::string label = fmt::format("{}\\n{}\\n{} on {}", row.op, row.shape, row.kernel, row.device);
      if (row.measured_us) label += fmt::format("\\n{:.1f} us", *row.measured_us);
      // The line breaks are Graphviz's own escapes; no other part has a backslash or a quote.
      text += fmt::format("  n{} [label=\"{}\", tooltip={}];\n", i, label, dot_string(row.label));
      for (int64_t input : row.inputs) text += fmt::format("  n{} -> n{};\n", input, i);
    }
    for (const ExplainOutput& output : step.outputs) {
      const std::string name = dot_string("output " + output.name);
      text += fmt::format("  {} [shape=ellipse];\n", name);
      if (output.row >= 0) text += fmt::format("  n{} -> {};\n", output.row, name);
    }
  }
  return text + "}\n";
}

}  // namespace ingot
