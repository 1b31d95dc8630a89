// Fusion: device-neutral passes that rewrite a graph into one of fewer, larger ops. Each pass is a file; the
// list is passes.cc. A pass never changes what the graph computes.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace ingot::fuse {

struct FuseOptions {
  /// Passes to leave out, by name; "all" leaves out every one.
  std::vector<std::string> off;
};

/// What one pass did.
struct PassReport {
  std::string_view name;
  bool ran = false;  // false: switched off
  int rewrites = 0;
  size_t nodes_before = 0;
  size_t nodes_after = 0;
  double microseconds = 0;
};

struct FuseResult {
  std::shared_ptr<const graph::Graph> graph;
  std::vector<PassReport> passes;  // in the order they ran
};

/// Runs the passes in their order and verifies the graph after each that changed it. Errors: invalid_argument
/// for a pass that does not exist (the message lists those that do), or a graph that does not verify.
FuseResult fuse(std::shared_ptr<const graph::Graph> graph, const FuseOptions& options = {});

struct PassInfo {
  std::string_view name;
  std::string_view summary;
};
std::vector<PassInfo> pass_infos();

/// The graph with the fused ops that `expand(node)` names replaced by their unfused definitions.
/// `origin[i]`: the node of `graph` that node i of the result comes from.
struct Expanded {
  std::shared_ptr<const graph::Graph> graph;
  std::vector<graph::Value> origin;
};
Expanded expand(const graph::Graph& graph, const std::vector<bool>& nodes);

}  // namespace ingot::fuse
