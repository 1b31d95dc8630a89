// add: out = a + b, point by point.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

/// a: f32 of any shape; b: a weight type, its shape equal to a's trailing dimensions. Returns f32 of a's
/// shape.
Value add(Graph& graph, Value a, Value b, std::string label = {});

}  // namespace ingot::graph
