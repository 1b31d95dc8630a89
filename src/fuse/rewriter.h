// Rewriter: how a pass changes a graph. It answers who reads what, collects replacements that keep the graph
// acyclic and its cache versions in order, and writes the new graph.
//
// Values are those of the graph it was made from, until finish(). Used by one thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace ingot::fuse {

/// Nodes that become one op.
struct Replacement {
  std::shared_ptr<const graph::Op> op;
  std::vector<graph::Value> inputs;
  /// The nodes it stands for; further results of a member belong to it without being named.
  std::vector<graph::Value> members;
  /// The values that the op's output and then each of its results take the place of.
  std::vector<graph::Value> outputs;
};

class Rewriter {
 public:
  explicit Rewriter(const graph::Graph& graph);

  const graph::Graph& graph() const { return graph_; }
  /// Times the value is read, by ops and as an output of the graph.
  int readers(graph::Value value) const;
  /// The op that alone reads the value, once; none if there are more or it is an output.
  std::optional<graph::Value> sole_reader(graph::Value value) const;
  /// Whether the node is part of a replacement already, or gone.
  bool is_taken(graph::Value value) const { return taken_[static_cast<size_t>(value.id)]; }

  /// Replaces nodes; false where that would make an op wait for itself, a member is taken, or a value that
  /// somebody else reads would be lost. The graph is then as before.
  bool replace(Replacement replacement);
  /// Readers of `from` read `to`, an earlier node of the same type, and `from` goes.
  void forward(graph::Value from, graph::Value to);
  /// Drops a node that nobody reads.
  void drop(graph::Value node);

  int rewrites() const { return rewrites_; }
  graph::Graph finish() const;

 private:
  static constexpr int32_t kNone = -1;

  std::span<const int32_t> after(size_t node) const;
  int32_t group_of(size_t node) const { return group_[node]; }
  bool makes_cycle(const std::vector<int32_t>& members) const;
  std::vector<int32_t> with_results(const std::vector<graph::Value>& members) const;

  const graph::Graph& graph_;
  std::vector<std::vector<int32_t>> before_;  // by node: those that must run earlier
  std::vector<int32_t> after_;                // the reverse of before_, by after_begin_
  std::vector<int32_t> after_begin_;
  std::vector<int32_t> reads_;    // by node: times read
  std::vector<int32_t> group_;    // by node: its replacement, or kNone
  std::vector<int32_t> forward_;  // by node: the node that stands in for it, itself for most
  std::vector<bool> taken_;
  std::vector<bool> dropped_;
  std::vector<Replacement> replacements_;
  std::vector<std::vector<int32_t>> group_members_;
  int rewrites_ = 0;
};

}  // namespace ingot::fuse
