#include "model/builder.h"

#include <algorithm>

#include "graph/ops/embedding.h"
#include "graph/ops/kv_write.h"
#include "graph/ops/reshape.h"
#include "graph/ops/sample.h"
#include "kv/paged_cache.h"

namespace ingot::model {

using graph::Symbol;
using graph::TensorType;
using graph::Value;

ModelBuilder::ModelBuilder(Weights& weights, const Dimensions& dimensions)
    : weights_(weights), dimensions_(dimensions) {
  const auto input = [&](std::string name, std::vector<graph::Dim> dims) {
    return graph_.input(std::move(name), TensorType{DType::i32, std::move(dims)});
  };
  tokens_ = input("tokens", {Symbol::tokens});
  positions_ = input("positions", {Symbol::tokens});
  slots_ = input("slots", {Symbol::tokens});
  logit_rows_ = input("logit_rows", {Symbol::logit_rows});
  attention_.seq_start = input("seq_start", {graph::Dim(Symbol::sequences) + graph::Dim(1)});
  attention_.context_len = input("context_len", {Symbol::sequences});
  attention_.block_table = input("block_table", {Symbol::sequences, Symbol::pages});
}

Value ModelBuilder::weight(const std::string& name, const Shape& shape) {
  const auto nodes = graph_.nodes();
  const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const graph::Node& node) {
    return node.kind == graph::NodeKind::weight && node.name == name;
  });
  if (found != nodes.end()) return {static_cast<int32_t>(found - nodes.begin())};
  return graph_.weight(name, weights_.take(name, shape));
}

Value ModelBuilder::linear(Value x, const std::string& prefix, int64_t in, int64_t out, bool bias) {
  const Value w = weight(prefix + ".weight", {out, in});
  std::optional<Value> b;
  if (bias) b = weight(prefix + ".bias", {out});
  return graph::linear(graph_, x, w, b, graph::WeightOrder::out_in, prefix);
}

Value ModelBuilder::cached_attention(int64_t layer, Value q, Value k, Value v, float scale, int64_t window) {
  const TensorType cache{DType::f32,
                         {Symbol::cache_pages, dimensions_.kv_heads, kv::kPageTokens, dimensions_.head_dim}};
  const Value keys = kv_write(graph_, graph_.state(kv::keys_name(layer), cache), k, slots_);
  const Value values = kv_write(graph_, graph_.state(kv::values_name(layer), cache), v, slots_);
  const Value out = attention(graph_, q, keys, values, attention_, scale, window);
  return reshape(graph_, out, {Symbol::tokens, dimensions_.heads * dimensions_.head_dim});
}

Value ModelBuilder::logit_rows(Value x) {
  return embedding(graph_, logit_rows_, x, "logit_rows");
}

void ModelBuilder::head(Value rows, Value weight, bool sample) {
  const Value logits = graph::linear(graph_, rows, weight, std::nullopt, graph::WeightOrder::out_in, "head");
  if (!sample) {
    graph_.output("logits", logits);
    return;
  }
  const Value floats =
      graph_.input("sampling_f32", {DType::f32, {Symbol::logit_rows, int64_t{graph::kSamplingFloats}}});
  const Value ints =
      graph_.input("sampling_i32", {DType::i32, {Symbol::logit_rows, int64_t{graph::kSamplingInts}}});
  const Value counts = graph_.state("token_counts", {DType::i32, {Symbol::slots, dimensions_.vocab}});
  graph_.output("next", graph::sample(graph_, logits, floats, ints, counts));
}

}  // namespace ingot::model
