// softmax: exp(x - max) / sum over the last axis.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

/// x: f32 of rank >= 1.
Value softmax(Graph& graph, Value x, std::string label = {});

}  // namespace ingot::graph
