// ModelBuilder: what architectures build their graphs with: weights by name, the step's inputs, the KV cache.
//
// The inputs are the step contract: every model takes ragged tokens of several sequences and gives the logits
// of the rows asked for, or the tokens sampled from them.
#pragma once

#include <optional>
#include <string>

#include "graph/graph.h"
#include "graph/ops/attention.h"
#include "graph/ops/linear.h"
#include "kv/page_layout.h"
#include "model/weights.h"

namespace ingot::model {

/// What engines need to know of a model, whatever its architecture.
struct Dimensions {
  int64_t vocab = 0;
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t max_positions = 0;  // tokens of the longest context it was made for
};

class ModelBuilder {
 public:
  ModelBuilder(Weights& weights, const Dimensions& dimensions);

  graph::Graph& graph() { return graph_; }
  Weights& weights() { return weights_; }
  const Dimensions& dimensions() const { return dimensions_; }

  // Step inputs.
  graph::Value tokens() const { return tokens_; }        // i32 [T]
  graph::Value positions() const { return positions_; }  // i32 [T]: each token's place in its sequence

  /// The checkpoint's tensor as a node. Repeated calls give the same node.
  graph::Value weight(const std::string& name, const Shape& shape);
  /// linear by `prefix`.weight [out, in] and, if asked for, `prefix`.bias.
  graph::Value linear(graph::Value x, const std::string& prefix, int64_t in, int64_t out, bool bias);
  /// Writes k and v [T, kv_heads, head_dim] into the layer's cache and attends: [T, heads * head_dim].
  graph::Value cached_attention(int64_t layer, graph::Value q, graph::Value k, graph::Value v, float scale,
                                int64_t window);
  /// The rows of x [T, hidden] that get logits, [R, hidden]: what follows the last layer needs no others.
  graph::Value logit_rows(graph::Value x);
  /// The output head: rows [R, hidden] after the last norm, weight [vocab, hidden].
  void head(graph::Value rows, graph::Value weight, bool sample);

  graph::Graph finish() { return std::move(graph_); }

 private:
  Weights& weights_;
  Dimensions dimensions_;
  graph::Graph graph_;
  graph::Value tokens_;
  graph::Value positions_;
  graph::Value slots_;
  graph::Value logit_rows_;  // i32 [R]
  graph::AttentionInputs attention_;
};

}  // namespace ingot::model
