// What the ops demand of the elements of integer arrays, checked before a run: kernels trust indices.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace ingot::api {

/// Every element of `source`, an i32 input, constant or state, must lie in [0, end).
struct IndexRange {
  graph::Value op;  // that demands it
  graph::Value source;
  int64_t end = 0;
  std::string reader;  // for messages: "embedding: ids"
};

/// seq_start, context_len and block_table of an attention must fit each other, its rows and its cache. All
/// are inputs or constants.
struct AttentionCheck {
  graph::Value op;
  graph::Value seq_start;
  graph::Value context_len;
  graph::Value block_table;
  graph::Dim rows;  // of q
  int64_t page_tokens = 0;
};

struct RunChecks {
  std::vector<IndexRange> ranges;
  std::vector<AttentionCheck> attentions;

  /// Adds a range for every input, constant and state that the i32 value's elements come from. Constants are
  /// checked now. Errors: invalid_argument.
  void add_range(const graph::Graph& graph, graph::Value op, graph::Value value, int64_t end,
                 const std::string& reader);
  /// The checks of the ops that another graph still has; `moved[i]` is where node i went, or empty.
  RunChecks moved_to(const std::vector<graph::Value>& moved) const;
  /// Checks everything on a run's arrays. Errors: invalid_argument that names array, expected and found.
  void run(const graph::Graph& graph, const graph::DimValues& dims,
           const std::function<graph::Tensor(graph::Value source)>& tensor_of) const;
};

}  // namespace ingot::api
