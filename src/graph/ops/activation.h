// The point-wise functions of one input as a value, for the ops that fuse them.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

enum class Activation : uint8_t { none, gelu_erf, gelu_tanh, silu };

/// "", "gelu_erf", "gelu_tanh", "silu"
std::string_view to_string(Activation activation);
/// The activation that an op is, or none.
Activation activation_of(const Op& op);
/// Appends it to the graph; none: x itself.
Value append_activation(Graph& graph, Value x, Activation activation);

}  // namespace ingot::graph
