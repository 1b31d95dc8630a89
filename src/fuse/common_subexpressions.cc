// Common subexpressions: of ops that compute the same function of the same values, one is enough. A cache's
// versions are different values, so what was read before a write stays apart from what is read after it.
#include <map>
#include <string>
#include <tuple>

#include "fuse/passes.h"

namespace ingot::fuse {

using graph::Node;
using graph::NodeKind;
using graph::Value;

void common_subexpressions(Rewriter& rewriter) {
  const graph::Graph& graph = rewriter.graph();
  using Key = std::tuple<std::string_view, std::string, std::string, std::vector<int32_t>>;
  std::map<Key, size_t> first;
  std::vector<int32_t> canonical;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    canonical.push_back(static_cast<int32_t>(i));
    if (node.kind != NodeKind::op || node.op->writes_alias()) continue;
    size_t results = 0;
    bool writes = false;
    for (size_t k = i + 1; k < graph.nodes().size() && graph.nodes()[k].kind == NodeKind::result; ++k) {
      ++results;
      writes = writes || graph.nodes()[k].alias.id >= 0;
    }
    if (writes) continue;
    std::vector<int32_t> inputs;
    inputs.reserve(node.inputs.size());
    for (Value input : node.inputs) inputs.push_back(canonical[static_cast<size_t>(input.id)]);
    const auto [found, is_new] = first.try_emplace(
        Key{node.op->name(), node.op->attributes(), to_string(node.type), std::move(inputs)}, i);
    if (is_new) continue;
    // Labels differ, types do not: both follow the same shape rule.
    for (size_t k = 0; k <= results; ++k) {
      const auto from = static_cast<int32_t>(i + k);
      const auto to = static_cast<int32_t>(found->second + k);
      rewriter.forward({from}, {to});
      if (k == 0) canonical.back() = to;
    }
    for (size_t k = 1; k <= results; ++k) canonical.push_back(static_cast<int32_t>(found->second + k));
    i += results;
  }
}

}  // namespace ingot::fuse
