// Random graphs full of what the passes look for, and of what forbids them: further readers, outputs in the
// middle, caches read before and after they are written, operands that depend on each other.
#pragma once

#include <fmt/format.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/ops/add.h"
#include "graph/ops/attention.h"
#include "graph/ops/gelu.h"
#include "graph/ops/kv_write.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/linear.h"
#include "graph/ops/mul.h"
#include "graph/ops/reshape.h"
#include "graph/ops/rms_norm.h"
#include "graph/ops/rope.h"
#include "graph/ops/silu.h"
#include "graph/ops/slice.h"
#include "graph/ops/softmax.h"
#include "opcases/step.h"

namespace ingot::fuse {

class RandomGraph {
 public:
  explicit RandomGraph(uint32_t seed)
      : random_(seed), step_({{1, 2 + below(40)}, {1 + below(3), 4 + below(30)}}, kPageTokens, below(2)) {
    using graph::Symbol;
    rows_.push_back(input("x", {DType::f32, {Symbol::tokens, kWidth}}));
    table_ = input("table", {DType::f32, {Symbol::tokens, 4}});
    slots_ = input_of("slots", {Symbol::tokens}, step_.slots);
    attention_ = {
        .seq_start = input_of("seq_start", {graph::Dim(Symbol::sequences) + graph::Dim(1)}, step_.seq_start),
        .context_len = input_of("context_len", {Symbol::sequences}, step_.context_len),
        .block_table = input_of("block_table", {Symbol::sequences, Symbol::pages}, step_.block_table)};
    const int parts = 2 + static_cast<int>(below(7));
    for (int i = 0; i < parts; ++i) {
      add_part(below(12));
      if (below(6) == 0) output(any());
    }
    output(rows_.back());
  }

  graph::Graph graph;
  std::map<std::string, Array> arrays;  // of inputs and states
  const graph::DimValues& dims() const { return step_.dims; }

 private:
  static constexpr int64_t kWidth = 12;
  static constexpr int64_t kHeadDim = 4;
  static constexpr int64_t kPageTokens = 8;

  int64_t below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint32_t>(n)); }
  bool coin() { return below(2) == 0; }
  graph::Value any() { return rows_[static_cast<size_t>(below(static_cast<int64_t>(rows_.size())))]; }
  /// Most often the newest value, as in a chain.
  graph::Value recent() { return below(4) == 0 ? any() : rows_.back(); }

  Array floats(const Shape& shape, DType dtype = DType::f32) {
    Array array = Array::empty(dtype, shape);
    for (int64_t i = 0; i < array.elements(); ++i) {
      const float value = static_cast<float>(below(2001) - 1000) / 1000;
      if (dtype == DType::f32) {
        array.mutable_data<float>()[i] = value;
      } else {
        array.mutable_data<uint16_t>()[i] = dtype::encode_bf16(value).bits;
      }
    }
    return array;
  }
  graph::Value input(const std::string& name, const graph::TensorType& type) {
    arrays.emplace(name, floats(type.bind(step_.dims)));
    return graph.input(name, type);
  }
  graph::Value input_of(const std::string& name, std::vector<graph::Dim> dims,
                        const std::vector<int32_t>& values) {
    const graph::TensorType type{DType::i32, std::move(dims)};
    arrays.emplace(name, Array::from(std::span<const int32_t>(values), type.bind(step_.dims)));
    return graph.input(name, type);
  }
  graph::Value weight(const Shape& shape) {
    // Now and then the same weight again: common subexpressions.
    for (graph::Value known : weights_) {
      if (graph.node(known).weight.shape() == shape && below(6) == 0) return known;
    }
    weights_.push_back(
        graph.weight(fmt::format("w{}", weights_.size()), floats(shape, coin() ? DType::bf16 : DType::f32)));
    return weights_.back();
  }
  void output(graph::Value value) { graph.output(fmt::format("y{}", graph.outputs().size()), value); }
  void push(graph::Value value) { rows_.push_back(value); }

  graph::Value linear(graph::Value x, int64_t out = kWidth) {
    const auto order = coin() ? graph::WeightOrder::out_in : graph::WeightOrder::in_out;
    const int64_t in = graph.type(x).dim(1).extent();
    const bool out_in = order == graph::WeightOrder::out_in;
    const graph::Value w = weight(out_in ? Shape{out, in} : Shape{in, out});
    std::optional<graph::Value> bias;
    if (below(3) == 0) bias = weight({out});
    return graph::linear(graph, x, w, bias, order);
  }
  graph::Value activation(graph::Value x) {
    switch (below(3)) {
      case 0:
        return graph::silu(graph, x);
      case 1:
        return graph::gelu(graph, x, graph::GeluKind::erf);
      default:
        return graph::gelu(graph, x, graph::GeluKind::tanh);
    }
  }
  graph::Value norm(graph::Value x) {
    if (coin()) return graph::rms_norm(graph, x, weight({kWidth}), 1e-5F);
    return graph::layer_norm(graph, x, weight({kWidth}), weight({kWidth}), 1e-5F);
  }
  graph::Value sum(graph::Value a, graph::Value b) {
    return coin() ? graph::add(graph, a, b) : graph::add(graph, b, a);
  }

  void add_part(int64_t kind) {
    switch (kind) {
      case 0:
        push(linear(recent()));
        break;
      case 1:
        push(graph::add(graph, linear(recent()), weight({kWidth})));
        break;
      case 2:
        push(activation(linear(recent())));
        break;
      case 3:
        push(activation(graph::add(graph, linear(recent()), weight({kWidth}))));
        break;
      case 4: {
        const graph::Value x = any();
        push(sum(x, linear(norm(x))));
        break;
      }
      case 5: {
        const graph::Value x = coin() ? norm(recent()) : recent();
        const graph::Value gate = linear(x, 20);
        const graph::Value up = linear(x, 20);
        if (below(8) == 0) output(gate);
        const graph::Value gated = activation(gate);
        push(linear(coin() ? graph::mul(graph, gated, up) : graph::mul(graph, up, gated)));
        break;
      }
      case 6:
        attend();
        break;
      case 7:
        push(graph::mul(graph, graph::add(graph, recent(), weight({kWidth})), any()));
        break;
      case 8:
        push(activation(sum(recent(), any())));
        break;
      case 9:
        push(norm(recent()));
        break;
      case 10: {  // several linears of one input, one of which depends on another
        const graph::Value x = recent();
        const graph::Value a = linear(x);
        const graph::Value b = linear(x);
        push(coin() ? sum(a, linear(sum(b, x))) : graph::mul(graph, a, b));
        break;
      }
      default:
        push(graph::softmax(graph, recent()));
        break;
    }
  }

  graph::Value heads(graph::Value rows, int64_t count) {
    return graph::reshape(graph, rows, {graph::Symbol::tokens, count, kHeadDim});
  }
  void attend() {
    using graph::Symbol;
    const int64_t kv_heads = coin() ? 1 : 3;
    const graph::Value x = coin() ? norm(recent()) : recent();
    graph::Value q;
    graph::Value k;
    graph::Value v;
    if (below(3) == 0) {
      const int64_t kv = kv_heads * kHeadDim;
      const graph::Value all = linear(x, kWidth + 2 * kv);
      q = graph::slice(graph, all, 1, 0, kWidth);
      k = graph::slice(graph, all, 1, kWidth, kWidth + kv);
      v = graph::slice(graph, all, 1, kWidth + kv, kWidth + 2 * kv);
    } else {
      q = linear(x);
      k = linear(x, kv_heads * kHeadDim);
      v = linear(below(8) == 0 ? any() : x, kv_heads * kHeadDim);
    }
    q = heads(q, 3);
    k = heads(k, kv_heads);
    v = heads(v, kv_heads);
    if (coin()) {
      q = graph::rms_norm(graph, q, weight({kHeadDim}), 1e-6F);
      k = graph::rms_norm(graph, k, weight({kHeadDim}), below(6) == 0 ? 1e-5F : 1e-6F);
    }
    if (coin()) {
      const auto style = coin() ? graph::RopeStyle::half : graph::RopeStyle::interleaved;
      q = graph::rope(graph, q, table_, style);
      if (below(8) != 0) k = graph::rope(graph, k, table_, style);
    }
    const graph::Value keys = state(kv_heads);
    const graph::Value values = state(kv_heads);
    // Attention over the cache as it was: it must come before the write.
    if (below(4) == 0) {
      const graph::Value other = coin() ? q : heads(recent(), 3);
      push(graph::reshape(graph, graph::attention(graph, other, keys, values, attention_, 0.5F, 0),
                          {Symbol::tokens, kWidth}));
      if (coin()) push(sum(recent(), rows_.back()));
    }
    const graph::Value new_keys = graph::kv_write(graph, keys, k, slots_);
    const graph::Value new_values = graph::kv_write(graph, values, v, slots_);
    const graph::Value mixed =
        graph::attention(graph, q, new_keys, new_values, attention_, 0.5F, coin() ? 0 : 5);
    push(graph::reshape(graph, mixed, {Symbol::tokens, kWidth}));
    if (below(5) == 0) output(new_keys);
    if (coin()) push(sum(any(), linear(rows_.back())));
  }
  graph::Value state(int64_t kv_heads) {
    const std::string name = fmt::format("cache{}", states_++);
    const graph::TensorType type{DType::f32, {graph::Symbol::cache_pages, kv_heads, kPageTokens, kHeadDim}};
    arrays.emplace(name, floats(type.bind(step_.dims)));
    return graph.state(name, type);
  }

  std::mt19937 random_;
  opcases::PagedStep step_;
  std::vector<graph::Value> rows_;  // of type f32 [T, kWidth]
  std::vector<graph::Value> weights_;
  graph::Value table_;
  graph::Value slots_;
  graph::AttentionInputs attention_;
  int states_ = 0;
};

}  // namespace ingot::fuse
