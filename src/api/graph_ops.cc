#include "ingot/graph_ops.h"

#include <algorithm>
#include <cmath>

#include "api/graph_builder.h"
#include "graph/ops/add.h"
#include "graph/ops/attention.h"
#include "graph/ops/concat.h"
#include "graph/ops/embedding.h"
#include "graph/ops/gelu.h"
#include "graph/ops/kv_write.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/linear.h"
#include "graph/ops/matmul.h"
#include "graph/ops/mul.h"
#include "graph/ops/reshape.h"
#include "graph/ops/rms_norm.h"
#include "graph/ops/rope.h"
#include "graph/ops/rope_table.h"
#include "graph/ops/silu.h"
#include "graph/ops/slice.h"
#include "graph/ops/softmax.h"
#include "graph/ops/transpose.h"

namespace ingot {
namespace {

using api::Access;
using api::GraphBuilder;
using Ids = std::span<const graph::Value>;

/// Appends what build(builder, ids) makes of the operands. Errors carry the op's name.
template <class F>
Value apply(std::string_view op, const std::vector<const Value*>& operands, const F& build) {
  return api::guarded(op, [&] {
    std::vector<graph::Value> ids;
    for (const Value* operand : operands) {
      if (Access::builder(*operand) == nullptr) {
        fail(ErrorCode::invalid_argument, "{}: expected a value of a graph as operand {}, found an empty one",
             op, ids.size());
      }
      if (Access::builder(*operand) != Access::builder(*operands[0])) {
        fail(ErrorCode::invalid_argument, "{}: expected values of one graph, found operand {} of another", op,
             ids.size());
      }
      ids.push_back(Access::id(*operand));
    }
    const std::shared_ptr<GraphBuilder>& builder = Access::builder(*operands[0]);
    try {
      const graph::Value result = build(*builder, ids);
      api::expect_size(op, builder->graph.type(result));
      return Access::value(builder, result);
    } catch (const Error& error) {
      if (std::string_view(error.what()).starts_with(op)) throw;
      throw Error(error.code(), fmt::format("{}: {}", op, error.what()));
    }
  });
}

/// Whether the shape rule of add and mul wants the operands the other way round.
bool is_swapped(const graph::TensorType& a, const graph::TensorType& b) {
  return a.rank() < b.rank() || (a.rank() == b.rank() && a.dtype != DType::f32 && b.dtype == DType::f32);
}

using BinaryFn = graph::Value (*)(graph::Graph&, graph::Value, graph::Value, std::string);

Value binary(std::string_view op, BinaryFn make, const Value& a, const Value& b) {
  return apply(op, {&a, &b}, [&](GraphBuilder& builder, Ids ids) {
    const bool swapped = is_swapped(builder.graph.type(ids[0]), builder.graph.type(ids[1]));
    return make(builder.graph, ids[swapped ? 1 : 0], ids[swapped ? 0 : 1], {});
  });
}

Value binary(std::string_view op, BinaryFn make, const Value& a, float b) {
  return apply(op, {&a}, [&](GraphBuilder& builder, Ids ids) {
    // A row: kernels repeat a row much faster than a single element.
    const graph::TensorType& type = builder.graph.type(ids[0]);
    const bool has_row = type.rank() > 0 && type.dim(-1).is_static();
    Array row = has_row ? Array::empty(DType::f32, {type.dim(-1).extent()}) : Array::empty(DType::f32, {});
    std::fill_n(row.mutable_data<float>(), row.elements(), b);
    const std::string name = builder.free_name();
    builder.take_name(op, name);
    return make(builder.graph, ids[0], builder.graph.weight(name, row), {});
  });
}

bool is_constant_matrix(const graph::Node& node) {
  return node.kind == graph::NodeKind::weight && node.type.rank() == 2;
}

/// A transposed constant, read as the constant itself in the other order.
void take_untransposed(const graph::Graph& g, graph::Value& weight, WeightOrder& order) {
  const graph::Node& node = g.node(weight);
  if (node.kind != graph::NodeKind::op || node.op->name() != "transpose" ||
      !is_constant_matrix(g.node(node.inputs[0])))
    return;
  if (node.op->attributes() != "order=1,0") return;
  weight = node.inputs[0];
  order = order == WeightOrder::out_in ? WeightOrder::in_out : WeightOrder::out_in;
}

/// make(x as [rows, in]), its result [rows, out] as [… , out].
template <class F>
graph::Value with_rows(graph::Graph& g, graph::Value x, const F& make) {
  const graph::TensorType type = g.type(x);
  if (type.rank() == 2 || type.rank() == 0) return make(x);
  graph::Dim rows = 1;
  for (int i = 0; i < type.rank() - 1; ++i) rows = rows * type.dim(i);
  const graph::Value flat = make(reshape(g, x, {rows, type.dim(-1)}));
  std::vector<graph::Dim> dims = type.dims;
  dims.back() = g.type(flat).dim(1);
  return reshape(g, flat, dims);
}

graph::Value append_linear(graph::Graph& g, graph::Value x, graph::Value weight,
                           std::optional<graph::Value> bias, WeightOrder order) {
  take_untransposed(g, weight, order);
  const auto internal =
      order == WeightOrder::out_in ? graph::WeightOrder::out_in : graph::WeightOrder::in_out;
  return with_rows(g, x, [&](graph::Value rows) { return graph::linear(g, rows, weight, bias, internal); });
}

bool is_static(const graph::TensorType& type) {
  return std::all_of(type.dims.begin(), type.dims.end(),
                     [](const graph::Dim& dim) { return dim.is_static(); });
}

int from_front(int axis, const graph::TensorType& type) {
  return axis < 0 ? axis + type.rank() : axis;
}

void expect_eps(std::string_view op, float eps) {
  if (std::isfinite(eps) && eps >= 0) return;
  fail(ErrorCode::invalid_argument, "{}: expected a finite eps of at least 0, found {}", op, eps);
}

}  // namespace

Value add(const Value& a, const Value& b) {
  return binary("add", graph::add, a, b);
}
Value mul(const Value& a, const Value& b) {
  return binary("mul", graph::mul, a, b);
}
Value add(const Value& a, float b) {
  return binary("add", graph::add, a, b);
}
Value mul(const Value& a, float b) {
  return binary("mul", graph::mul, a, b);
}

Value matmul(const Value& a, const Value& b) {
  return apply("matmul", {&a, &b}, [&](GraphBuilder& builder, Ids ids) {
    graph::Graph& g = builder.graph;
    const graph::TensorType& left = g.type(ids[0]);
    const graph::TensorType& right = g.type(ids[1]);
    if (left.rank() < 2 || right.rank() < 2) {
      fail(ErrorCode::invalid_argument, "matmul: expected two operands of rank >= 2, found {} and {}",
           to_string(left), to_string(right));
    }
    if (right.rank() == 2 && left.dtype == DType::f32 && left.dim(-1) != right.dim(0)) {
      fail(ErrorCode::invalid_argument, "matmul: expected b's rows to be {}, found {}",
           to_string(left.dim(-1)), to_string(right));
    }
    // A linear has fast kernels, and the fusion passes know it.
    if (right.rank() == 2 && is_static(right))
      return append_linear(g, ids[0], ids[1], std::nullopt, WeightOrder::in_out);
    if (right.rank() == 2)
      return with_rows(g, ids[0], [&](graph::Value rows) { return graph::matmul(g, rows, ids[1]); });
    return graph::matmul(g, ids[0], ids[1]);
  });
}

Value linear(const Value& x, const Value& weight, const std::optional<Value>& bias, WeightOrder order) {
  std::vector<const Value*> operands{&x, &weight};
  if (bias) operands.push_back(&*bias);
  return apply("linear", operands, [&](GraphBuilder& builder, Ids ids) {
    return append_linear(builder.graph, ids[0], ids[1], bias ? std::optional(ids[2]) : std::nullopt, order);
  });
}

Value gelu(const Value& x) {
  return apply("gelu", {&x}, [](GraphBuilder& builder, Ids ids) {
    return graph::gelu(builder.graph, ids[0], graph::GeluKind::erf);
  });
}
Value gelu_tanh(const Value& x) {
  return apply("gelu", {&x}, [](GraphBuilder& builder, Ids ids) {
    return graph::gelu(builder.graph, ids[0], graph::GeluKind::tanh);
  });
}
Value silu(const Value& x) {
  return apply("silu", {&x},
               [](GraphBuilder& builder, Ids ids) { return graph::silu(builder.graph, ids[0]); });
}
Value softmax(const Value& x) {
  return apply("softmax", {&x},
               [](GraphBuilder& builder, Ids ids) { return graph::softmax(builder.graph, ids[0]); });
}

Value rms_norm(const Value& x, const Value& weight, float eps) {
  return apply("rms_norm", {&x, &weight}, [&](GraphBuilder& builder, Ids ids) {
    expect_eps("rms_norm", eps);
    return graph::rms_norm(builder.graph, ids[0], ids[1], eps);
  });
}
Value layer_norm(const Value& x, const Value& weight, const Value& bias, float eps) {
  return apply("layer_norm", {&x, &weight, &bias}, [&](GraphBuilder& builder, Ids ids) {
    expect_eps("layer_norm", eps);
    return graph::layer_norm(builder.graph, ids[0], ids[1], ids[2], eps);
  });
}

Value embedding(const Value& ids, const Value& table) {
  return apply("embedding", {&ids, &table}, [](GraphBuilder& builder, Ids values) {
    const graph::Value result = graph::embedding(builder.graph, values[0], values[1]);
    const graph::Dim rows = builder.graph.type(values[1]).dim(0);
    builder.checks.add_range(builder.graph, result, values[0], rows.extent(), "embedding: ids");
    return result;
  });
}

Value reshape(const Value& x, const std::vector<Dim>& dims) {
  return apply("reshape", {&x}, [&](GraphBuilder& builder, Ids ids) {
    std::vector<graph::Dim> internal = api::to_internal(dims);
    api::expect_size("reshape", {builder.graph.type(ids[0]).dtype, internal});
    return graph::reshape(builder.graph, ids[0], std::move(internal));
  });
}
Value transpose(const Value& x, const std::vector<int>& order) {
  return apply("transpose", {&x}, [&](GraphBuilder& builder, Ids ids) {
    if (order.size() > Shape::kMaxRank) {
      fail(ErrorCode::invalid_argument, "transpose: expected a permutation of {} axes, found {}",
           builder.graph.type(ids[0]).rank(), order.size());
    }
    return graph::transpose(builder.graph, ids[0], order);
  });
}
Value slice(const Value& x, int axis, int64_t begin, int64_t end) {
  return apply("slice", {&x}, [&](GraphBuilder& builder, Ids ids) {
    return graph::slice(builder.graph, ids[0], from_front(axis, builder.graph.type(ids[0])), begin, end);
  });
}
Value concat(const std::vector<Value>& values, int axis) {
  if (values.empty()) fail(ErrorCode::invalid_argument, "concat: expected at least one value, found none");
  std::vector<const Value*> operands;
  operands.reserve(values.size());
  for (const Value& value : values) operands.push_back(&value);
  return apply("concat", operands, [&](GraphBuilder& builder, Ids ids) {
    return graph::concat(builder.graph, {ids.begin(), ids.end()},
                         from_front(axis, builder.graph.type(ids[0])));
  });
}

namespace {

void expect_positive(std::string_view what, double value, double least = 0) {
  if (std::isfinite(value) && value > least) return;
  fail(ErrorCode::invalid_argument, "rope_table: expected a finite {} above {}, found {}", what, least,
       value);
}

graph::RopeScaling to_internal(const RopeScaling& scaling) {
  using Kind = RopeScaling::Kind;
  graph::RopeScaling result;
  expect_positive("theta", scaling.theta, 1);
  expect_positive("attention_factor", scaling.attention_factor);
  if (scaling.kind != Kind::none) expect_positive("factor", scaling.factor);
  if (scaling.kind == Kind::llama3 || scaling.kind == Kind::yarn)
    expect_positive("number of original_positions", static_cast<double>(scaling.original_positions));
  switch (scaling.kind) {
    case Kind::none:
      result.kind = graph::RopeScaling::Kind::none;
      break;
    case Kind::linear:
      result.kind = graph::RopeScaling::Kind::linear;
      break;
    case Kind::llama3:
      expect_positive("low_freq_factor", scaling.low_freq_factor);
      expect_positive("high_freq_factor", scaling.high_freq_factor, scaling.low_freq_factor);
      result.kind = graph::RopeScaling::Kind::llama3;
      break;
    case Kind::yarn:
      expect_positive("beta_slow", scaling.beta_slow);
      expect_positive("beta_fast", scaling.beta_fast, scaling.beta_slow);
      result.kind = graph::RopeScaling::Kind::yarn;
      break;
  }
  result.theta = scaling.theta;
  result.factor = scaling.factor;
  result.low_freq_factor = scaling.low_freq_factor;
  result.high_freq_factor = scaling.high_freq_factor;
  result.original_positions = scaling.original_positions;
  result.beta_fast = scaling.beta_fast;
  result.beta_slow = scaling.beta_slow;
  result.truncate = scaling.truncate;
  result.attention_factor = scaling.attention_factor;
  return result;
}

constexpr int64_t kMostRotaryDims = 1 << 20;

}  // namespace

Value rope_table(const Value& positions, int64_t rotary_dims, const RopeScaling& scaling) {
  return apply("rope_table", {&positions}, [&](GraphBuilder& builder, Ids ids) {
    if (rotary_dims > kMostRotaryDims) {
      fail(ErrorCode::invalid_argument, "rope_table: expected at most {} rotary dimensions, found {}",
           kMostRotaryDims, rotary_dims);
    }
    return graph::rope_table(builder.graph, ids[0], to_internal(scaling), rotary_dims);
  });
}
Value rope(const Value& x, const Value& table, RopeStyle style) {
  return apply("rope", {&x, &table}, [&](GraphBuilder& builder, Ids ids) {
    return graph::rope(builder.graph, ids[0], ids[1],
                       style == RopeStyle::half ? graph::RopeStyle::half : graph::RopeStyle::interleaved);
  });
}

Value kv_write(const Value& cache, const Value& x, const Value& slots) {
  return apply("kv_write", {&cache, &x, &slots}, [](GraphBuilder& builder, Ids ids) {
    graph::Graph& g = builder.graph;
    graph::Value root = ids[0];
    while (const auto alias = graph::alias_of(g, root)) root = *alias;
    if (g.node(root).kind != graph::NodeKind::state) {
      fail(ErrorCode::invalid_argument, "kv_write: expected a cache that is a state, found {}",
           to_string(g.type(ids[0])));
    }
    const graph::Value result = graph::kv_write(g, ids[0], ids[1], ids[2]);
    const graph::TensorType& type = g.type(result);
    builder.checks.add_range(g, result, ids[2], type.dim(0).extent() * type.dim(2).extent(),
                             "kv_write: slots");
    return result;
  });
}

Value attention(const Value& q, const Value& keys, const Value& values, const AttentionStep& step,
                const AttentionOptions& options) {
  return apply(
      "attention", {&q, &keys, &values, &step.seq_start, &step.context_len, &step.block_table},
      [&](GraphBuilder& builder, Ids ids) {
        graph::Graph& g = builder.graph;
        for (graph::Value value : ids.subspan(3)) {
          const graph::NodeKind kind = g.node(value).kind;
          if (kind == graph::NodeKind::input || kind == graph::NodeKind::weight) continue;
          fail(ErrorCode::invalid_argument,
               "attention: expected a step of inputs and constants, found an op's result {}",
               to_string(g.type(value)));
        }
        const graph::TensorType& type = g.type(ids[0]);
        if (type.rank() != 3) {
          fail(ErrorCode::invalid_argument, "attention: expected q of rank 3, found {}", to_string(type));
        }
        const float scale = options.scale.value_or(
            1.0F / std::sqrt(static_cast<float>(std::max<int64_t>(1, type.dim(2).extent()))));
        const graph::Dim rows = type.dim(0);
        const graph::Value result = graph::attention(
            g, ids[0], ids[1], ids[2], {.seq_start = ids[3], .context_len = ids[4], .block_table = ids[5]},
            scale, options.window);
        const graph::TensorType& cache = g.type(ids[1]);
        builder.checks.add_range(g, result, ids[5], cache.dim(0).extent(), "attention: block_table");
        builder.checks.attentions.push_back({result, ids[3], ids[4], ids[5], rows, cache.dim(2).extent()});
        return result;
      });
}

}  // namespace ingot
