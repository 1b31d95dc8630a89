// Model: a checkpoint's architecture and its graphs over the mapped weights. Immutable; shared.
#pragma once

#include <map>
#include <memory>

#include "format/checkpoint.h"
#include "graph/graph.h"
#include "kv/page_layout.h"
#include "model/architecture.h"

namespace ingot::model {

class Model {
 public:
  /// Errors: those of make_architecture and Weights; unsupported for tensors that the architecture does not
  /// use.
  explicit Model(std::shared_ptr<const format::Checkpoint> checkpoint);

  const format::Checkpoint& checkpoint() const { return *checkpoint_; }
  const Architecture& architecture() const { return *architecture_; }
  const Dimensions& dimensions() const { return architecture_->dimensions(); }
  kv::PageLayout kv_layout() const;

  /// The graph that ends in output "logits", f32 [R, vocab].
  const std::shared_ptr<const graph::Graph>& logits_graph() const { return logits_graph_; }
  /// The graph that ends in output "next", i32 [R].
  const std::shared_ptr<const graph::Graph>& token_graph() const { return token_graph_; }

  /// Parameters of the graph, and bytes by type; tied weights count once.
  int64_t parameters() const;
  int64_t weight_bytes() const;
  std::map<DType, int64_t> parameters_by_dtype() const;

 private:
  std::shared_ptr<const graph::Graph> build(bool sample) const;

  std::shared_ptr<const format::Checkpoint> checkpoint_;
  std::unique_ptr<const Architecture> architecture_;
  std::shared_ptr<const graph::Graph> logits_graph_;
  std::shared_ptr<const graph::Graph> token_graph_;
};

}  // namespace ingot::model
