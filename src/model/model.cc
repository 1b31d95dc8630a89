#include "model/model.h"

namespace ingot::model {

Model::Model(std::shared_ptr<const format::Checkpoint> checkpoint)
    : checkpoint_(std::move(checkpoint)), architecture_(make_architecture(*checkpoint_)) {
  logits_graph_ = build(false);
  token_graph_ = build(true);
}

std::shared_ptr<const graph::Graph> Model::build(bool sample) const {
  Weights weights(*checkpoint_);
  ModelBuilder builder(weights, architecture_->dimensions());
  architecture_->build(builder, sample);
  weights.expect_all_used(architecture_->name());
  return std::make_shared<const graph::Graph>(builder.finish());
}

kv::PageLayout Model::kv_layout() const {
  return {
      .layers = dimensions().layers, .kv_heads = dimensions().kv_heads, .head_dim = dimensions().head_dim};
}

int64_t Model::parameters() const {
  int64_t count = 0;
  for (const auto& [dtype, parameters] : parameters_by_dtype()) count += parameters;
  return count;
}

int64_t Model::weight_bytes() const {
  int64_t bytes = 0;
  for (const auto& [dtype, parameters] : parameters_by_dtype()) {
    bytes += dtype_bytes(dtype, parameters);
  }
  return bytes;
}

std::map<DType, int64_t> Model::parameters_by_dtype() const {
  std::map<DType, int64_t> counts;
  for (const graph::Node& node : logits_graph_->nodes()) {
    if (node.kind == graph::NodeKind::weight) counts[node.type.dtype] += node.weight.elements();
  }
  return counts;
}

}  // namespace ingot::model
