// embedding: out[t, :] = table[ids[t], :], decoded to f32.
//
// Also the gather of the rows that the output head runs on (the table is then an activation).
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

/// ids: i32 [T]; table: f32/f16/bf16 [rows, width]. Returns f32 [T, width].
/// Ids outside [0, rows) are a broken invariant: whoever feeds a step checks them.
Value embedding(Graph& graph, Value ids, Value table, std::string label = {});

}  // namespace ingot::graph
