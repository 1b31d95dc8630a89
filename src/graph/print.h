// Printers: the same graph as text for people, as dot for Graphviz, as JSON for programs.
#pragma once

#include <string>

#include "graph/graph.h"

namespace ingot::graph {

/// One line a node: "%12 = linear(%9, %10) : f32[T, 384]  # layers.0.q".
std::string to_text(const Graph& graph);
/// A Graphviz digraph; inputs, weights and states are boxes.
std::string to_dot(const Graph& graph);
/// {"nodes": [{"id", "kind", "op", "attributes", "inputs", "dtype", "dims", "name"}], "outputs": [{"name",
/// "id"}]}
std::string to_json(const Graph& graph);

}  // namespace ingot::graph
