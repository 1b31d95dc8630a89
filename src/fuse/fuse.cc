#include "fuse/fuse.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "fuse/passes.h"
#include "graph/fused_op.h"

namespace ingot::fuse {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

namespace {

void check_names(const FuseOptions& options) {
  for (const std::string& name : options.off) {
    const auto infos = pass_infos();
    const bool is_known = name == "all" || std::any_of(infos.begin(), infos.end(), [&](const PassInfo& info) {
                            return info.name == name;
                          });
    if (is_known) continue;
    std::vector<std::string_view> names;
    names.reserve(infos.size());
    for (const PassInfo& info : infos) names.push_back(info.name);
    fail(ErrorCode::invalid_argument, "no-fuse: expected all or one of {}, found '{}'",
         fmt::join(names, ", "), name);
  }
}

}  // namespace

FuseResult fuse(std::shared_ptr<const Graph> graph, const FuseOptions& options) {
  check_names(options);
  verify(*graph);
  FuseResult result{.graph = std::move(graph), .passes = {}};
  for (const Pass& pass : passes()) {
    const auto start = std::chrono::steady_clock::now();
    const auto is_off = [&](const std::string& name) { return name == "all" || name == pass.name; };
    PassReport report{.name = pass.name, .nodes_before = result.graph->nodes().size()};
    report.ran = std::none_of(options.off.begin(), options.off.end(), is_off);
    if (report.ran) {
      Rewriter rewriter(*result.graph);
      pass.run(rewriter);
      report.rewrites = rewriter.rewrites();
      if (report.rewrites > 0) {
        result.graph = std::make_shared<const Graph>(rewriter.finish());
        verify(*result.graph);
      }
    }
    report.nodes_after = result.graph->nodes().size();
    report.microseconds =
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    result.passes.push_back(report);
  }
  return result;
}

std::vector<PassInfo> pass_infos() {
  std::vector<PassInfo> infos;
  for (const Pass& pass : passes()) {
    const bool is_listed =
        std::any_of(infos.begin(), infos.end(), [&](const PassInfo& info) { return info.name == pass.name; });
    if (!is_listed) infos.push_back({pass.name, pass.summary});
  }
  return infos;
}

Expanded expand(const Graph& graph, const std::vector<bool>& nodes) {
  auto result = std::make_shared<Graph>();
  Expanded expanded;
  std::vector<Value> mapped;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    std::vector<Value> inputs;
    inputs.reserve(node.inputs.size());
    for (Value input : node.inputs) inputs.push_back(mapped[static_cast<size_t>(input.id)]);
    const bool is_expanded_result =
        node.kind == NodeKind::result && nodes[static_cast<size_t>(node.inputs[0].id)];
    if (is_expanded_result) continue;  // mapped with its op
    if (node.kind == NodeKind::op && nodes[i]) {
      const graph::FusedOp* fused = graph::as_fused(*node.op);
      INGOT_CHECK(fused != nullptr, "{} has no unfused definition", node.op->name());
      result->set_layer(node.layer);
      const std::vector<Value> outputs = fused->decompose(*result, inputs);
      result->set_layer(graph::kNoLayer);
      mapped.insert(mapped.end(), outputs.begin(), outputs.end());
    } else {
      const Value alias = node.alias.id < 0 ? Value{} : mapped[static_cast<size_t>(node.alias.id)];
      mapped.push_back(result->copy(node, std::move(inputs), alias));
    }
    expanded.origin.resize(result->nodes().size(), Value{static_cast<int32_t>(i)});
  }
  for (const graph::Output& output : graph.outputs())
    result->output(output.name, mapped[static_cast<size_t>(output.value.id)]);
  expanded.graph = std::move(result);
  return expanded;
}

}  // namespace ingot::fuse
