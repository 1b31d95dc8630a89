// silu: x * sigmoid(x) (Elfwing et al., 2017), also called swish.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

/// x: f32 of any shape.
Value silu(Graph& graph, Value x, std::string label = {});

}  // namespace ingot::graph
