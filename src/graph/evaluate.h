// evaluate: runs a graph by its ops' references, every value in storage of its own. The oracle of fusions and
// plans, and the definition of fused ops; slow.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace ingot::graph {

/// `bound` has the memory of every input and state, by name; states are written in place. Returns a tensor
/// for every node, over memory that `storage` takes. Errors: not_found for an input or state that is missing.
std::vector<Tensor> evaluate(const Graph& graph, const DimValues& dims,
                             const std::map<std::string, Tensor, std::less<>>& bound,
                             std::vector<Array>& storage);

}  // namespace ingot::graph
