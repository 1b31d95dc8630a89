// reshape: the same elements, in the same order, under another shape. Costs nothing: the storage is shared.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

/// x: any type and shape; dims: as many elements. Errors: invalid_argument where the counts differ.
Value reshape(Graph& graph, Value x, std::vector<Dim> dims, std::string label = {});

}  // namespace ingot::graph
