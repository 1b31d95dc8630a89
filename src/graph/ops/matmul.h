// matmul: out[b…, m, n] = sum over k of a[b…, m, k] * c[b…, k, n], f32.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

/// a: f32 [batch…, M, K]; b: f32 [batch…, K, N], equal leading dimensions. Returns f32 [batch…, M, N].
Value matmul(Graph& graph, Value a, Value b, std::string label = {});

}  // namespace ingot::graph
