// transpose: axes in another order.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

/// x: any type; order: a permutation of 0 … rank-1; axis i of the result is axis order[i] of x.
Value transpose(Graph& graph, Value x, std::vector<int> order, std::string label = {});

}  // namespace ingot::graph
