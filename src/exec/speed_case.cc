#include "exec/speed_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "graph/fused_op.h"
#include "graph/ops/add.h"
#include "graph/ops/attention.h"
#include "graph/ops/gelu.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/linear_fused.h"
#include "graph/ops/matmul.h"
#include "graph/ops/pointwise.h"
#include "graph/ops/rms_norm.h"
#include "graph/ops/softmax.h"

namespace ingot::exec {

using backend::StepClass;
using graph::Dim;
using graph::Graph;
using graph::Value;

namespace {

/// Builds a case: its inputs, then its op.
class Builder {
 public:
  Value add(OperandKind kind, DType dtype, std::vector<Dim> dims) {
    const Value value = speed_case_.graph.input(fmt::format("input {}", speed_case_.kinds.size()),
                                                {.dtype = dtype, .dims = std::move(dims)});
    speed_case_.kinds.push_back(kind);
    return value;
  }
  Value activation(std::vector<Dim> dims) {
    return add(OperandKind::activation, DType::f32, std::move(dims));
  }
  Value weight(DType dtype, std::vector<Dim> dims) {
    return add(OperandKind::weight, dtype, std::move(dims));
  }
  Value integers(std::vector<Dim> dims, std::vector<int32_t> values) {
    const Value value = add(OperandKind::integers, DType::i32, std::move(dims));
    speed_case_.integers[value.id] = std::move(values);
    return value;
  }
  Graph& graph() { return speed_case_.graph; }
  SpeedCase finish(Value result, std::string shape, StepClass step = StepClass::prefill) {
    speed_case_.result = result;
    speed_case_.shape = std::move(shape);
    speed_case_.step = step;
    return std::move(speed_case_);
  }

 private:
  SpeedCase speed_case_;
};

int64_t rounded(double value) {
  return std::max<int64_t>(1, std::llround(value));
}

// --- products
// ------------------------------------------------------------------------------------------------

/// rows, in, out of a square product with about `n` outputs: a multiple of 16 from 1000 on, as widths are.
int64_t side_of(int64_t n) {
  const double side = std::sqrt(static_cast<double>(n));
  return side < 16 ? rounded(side) : rounded(side / 16) * 16;
}

SpeedCase linear_case(DType dtype, int64_t rows, int64_t in, int64_t out, StepClass step) {
  Builder b;
  const Value x = b.activation({rows, in});
  const Value w = b.weight(dtype, {out, in});
  return b.finish(graph::linear(b.graph(), x, w), fmt::format("[{}, {}] x [{}, {}]", rows, in, in, out),
                  step);
}

SpeedCase linear_add_gelu_case(DType dtype, int64_t rows, int64_t in, int64_t out, StepClass step) {
  Builder b;
  std::vector<Value> inputs{b.activation({rows, in}), b.weight(dtype, {out, in}), b.weight(dtype, {out})};
  graph::LinearForm form;
  form.add = true;
  form.activation = graph::Activation::gelu_tanh;
  const auto op = std::make_shared<graph::FusedLinearOp>(form);
  return b.finish(b.graph().append(op, std::move(inputs)),
                  fmt::format("[{}, {}] x [{}, {}]", rows, in, in, out), step);
}

using ProductCase = SpeedCase (*)(DType, int64_t, int64_t, int64_t, StepClass);

SpeedGroup product_group(const char* name, ProductCase make, DType dtype) {
  const bool is_fused = make != linear_case;
  SpeedGroup group{.name = fmt::format("{} {}", name, to_string(dtype)),
                   .of_size =
                       [=](int64_t n) {
                         const int64_t side = side_of(n);
                         return make(dtype, side, side, side, StepClass::prefill);
                       },
                   .target = 10,
                   .fused_target = is_fused ? 20.0 : 0};
  // The widest layers of Llama 3 8B, Llama 3.2 1B and GPT-2; the first also for one token of one sequence.
  group.model_sizes.push_back(make(dtype, 512, 4096, 14336, StepClass::prefill));
  group.model_sizes.push_back(make(dtype, 512, 2048, 8192, StepClass::prefill));
  group.model_sizes.push_back(make(dtype, 512, 768, 3072, StepClass::prefill));
  group.model_sizes.push_back(make(dtype, 1, 4096, 14336, StepClass::decode));
  return group;
}

SpeedCase matmul_case(int64_t batch, int64_t m, int64_t k, int64_t n) {
  Builder b;
  const Value x = b.activation({batch, m, k});
  const Value y = b.activation({batch, k, n});
  return b.finish(graph::matmul(b.graph(), x, y), fmt::format("{} x [{}, {}] x [{}, {}]", batch, m, k, k, n));
}

// --- rows
// ----------------------------------------------------------------------------------------------------

using RowsCase = SpeedCase (*)(int64_t rows, int64_t width);

SpeedCase add_case(int64_t rows, int64_t width) {
  Builder b;
  const Value x = b.activation({rows, width});
  const Value y = b.activation({rows, width});
  return b.finish(graph::add(b.graph(), x, y), fmt::format("[{}, {}]", rows, width));
}

SpeedCase gelu_case(int64_t rows, int64_t width) {
  Builder b;
  const Value x = b.activation({rows, width});
  return b.finish(graph::gelu(b.graph(), x, graph::GeluKind::tanh), fmt::format("[{}, {}]", rows, width));
}

SpeedCase add_gelu_case(int64_t rows, int64_t width) {
  using Kind = graph::PointwiseStep::Kind;
  Builder b;
  std::vector<Value> inputs{b.activation({rows, width}), b.activation({rows, width})};
  const auto op = std::make_shared<graph::PointwiseOp>(
      2, std::vector<graph::PointwiseStep>{{.kind = Kind::add, .a = 0, .b = 1},
                                           {.kind = Kind::gelu_tanh, .a = 2}});
  return b.finish(b.graph().append(op, std::move(inputs)), fmt::format("[{}, {}]", rows, width));
}

SpeedCase layer_norm_case(int64_t rows, int64_t width) {
  Builder b;
  const Value x = b.activation({rows, width});
  const Value weight = b.weight(DType::f32, {width});
  const Value bias = b.weight(DType::f32, {width});
  return b.finish(graph::layer_norm(b.graph(), x, weight, bias, 1e-5F), fmt::format("[{}, {}]", rows, width));
}

SpeedCase rms_norm_case(int64_t rows, int64_t width) {
  Builder b;
  const Value x = b.activation({rows, width});
  const Value weight = b.weight(DType::f32, {width});
  return b.finish(graph::rms_norm(b.graph(), x, weight, 1e-5F), fmt::format("[{}, {}]", rows, width));
}

SpeedCase softmax_case(int64_t rows, int64_t width) {
  Builder b;
  const Value x = b.activation({rows, width});
  return b.finish(graph::softmax(b.graph(), x), fmt::format("[{}, {}]", rows, width));
}

/// `width`: at models' sizes, of 512 rows.
SpeedGroup rows_group(const char* name, RowsCase make, int64_t width, double target,
                      double fused_target = 0) {
  constexpr int64_t kWidth = 1000;
  SpeedGroup group{
      .name = name,
      .of_size = [=](int64_t n) { return make(std::max<int64_t>(1, n / kWidth), std::min(n, kWidth)); },
      .target = target,
      .fused_target = fused_target};
  group.model_sizes.push_back(make(512, width));
  group.model_sizes.push_back(make(4096, width));
  return group;
}

// --- attention
// -----------------------------------------------------------------------------------------------

constexpr int64_t kHeadDim = 128;
constexpr int64_t kPageTokens = 32;

/// `sequences` with `rows` new tokens each and `context` in all, and four query heads a key head.
SpeedCase attention_case(size_t most_bytes, int64_t sequences, int64_t rows, int64_t context, int64_t heads,
                         StepClass step) {
  const int64_t kv_heads = heads / 4;
  const int64_t cache_bytes = static_cast<int64_t>(most_bytes) / 2;
  const int64_t pages_each = (context + kPageTokens - 1) / kPageTokens;
  const int64_t page_bytes = kv_heads * kPageTokens * kHeadDim * 4;
  const int64_t pages = std::min(sequences * pages_each, std::max(pages_each, cache_bytes / page_bytes));
  std::vector<int32_t> seq_start{0};
  std::vector<int32_t> context_len;
  std::vector<int32_t> table;
  for (int64_t s = 0; s < sequences; ++s) {
    seq_start.push_back(static_cast<int32_t>((s + 1) * rows));
    context_len.push_back(static_cast<int32_t>(context));
    for (int64_t p = 0; p < pages_each; ++p)
      table.push_back(static_cast<int32_t>((s * pages_each + p) % pages));
  }
  Builder b;
  const Value q = b.activation({sequences * rows, heads, kHeadDim});
  const Value keys = b.weight(DType::f32, {pages, kv_heads, kPageTokens, kHeadDim});
  const Value values = b.weight(DType::f32, {pages, kv_heads, kPageTokens, kHeadDim});
  graph::AttentionInputs inputs;
  inputs.seq_start = b.integers({sequences + 1}, std::move(seq_start));
  inputs.context_len = b.integers({sequences}, std::move(context_len));
  inputs.block_table = b.integers({sequences, pages_each}, std::move(table));
  const Value result =
      graph::attention(b.graph(), q, keys, values, inputs, 1.0F / std::sqrt(static_cast<float>(kHeadDim)), 0);
  return b.finish(result,
                  rows == 1 ? fmt::format("{} x context {}, {}/{} heads", sequences, context, heads, kv_heads)
                            : fmt::format("{} x prompt {}, {}/{} heads", sequences, rows, heads, kv_heads),
                  step);
}

/// Heads for n outputs: those of Llama 3 8B, or as many as there is room for.
int64_t heads_for(int64_t n) {
  return std::clamp<int64_t>((n / kHeadDim + 2) / 4 * 4, 4, 32);
}

SpeedGroup attention_decode_group(size_t most_bytes) {
  const auto make = [=](int64_t sequences, int64_t context, int64_t heads) {
    return attention_case(most_bytes, sequences, 1, context, heads, StepClass::decode);
  };
  SpeedGroup group{.name = "attention decode",
                   .of_size =
                       [=](int64_t n) {
                         const int64_t heads = heads_for(n);
                         return make(std::max<int64_t>(1, n / (heads * kHeadDim)), 1024, heads);
                       },
                   .least = 500};
  group.model_sizes.push_back(make(1, 4096, 32));
  group.model_sizes.push_back(make(64, 1024, 32));
  return group;
}

SpeedGroup attention_prefill_group(size_t most_bytes) {
  const auto make = [=](int64_t rows, int64_t heads) {
    constexpr int64_t kLongest = 2048;
    const int64_t sequences = std::max<int64_t>(1, rows / kLongest);
    const int64_t each = rows / sequences;
    return attention_case(most_bytes, sequences, each, each, heads, StepClass::prefill);
  };
  SpeedGroup group{.name = "attention prefill",
                   .of_size =
                       [=](int64_t n) {
                         const int64_t heads = heads_for(n / 2);
                         return make(std::max<int64_t>(2, n / (heads * kHeadDim)), heads);
                       },
                   .least = 1000};
  group.model_sizes.push_back(make(512, 32));
  group.model_sizes.push_back(make(4096, 32));
  return group;
}

}  // namespace

int64_t SpeedCase::elements() const {
  return graph.type(result).bind({}).elements();
}

std::optional<Graph> unfused_graph(const SpeedCase& speed_case) {
  const graph::FusedOp* fused = graph::as_fused(speed_case.op());
  if (fused == nullptr) return std::nullopt;
  Graph graph;
  std::vector<Value> inputs;
  for (const graph::Node& node : speed_case.graph.nodes()) {
    if (node.kind == graph::NodeKind::input) inputs.push_back(graph.input(node.name, node.type));
  }
  graph.output("result", fused->decompose(graph, inputs).front());
  return graph;
}

std::vector<SpeedGroup> speed_groups(size_t most_bytes) {
  std::vector<SpeedGroup> groups;
  for (DType dtype : {DType::f32, DType::bf16}) groups.push_back(product_group("linear", linear_case, dtype));
  SpeedGroup matmul{.name = "matmul", .of_size = [](int64_t n) {
                      const int64_t side = side_of(n);
                      return matmul_case(1, side, side, side);
                    }};
  matmul.model_sizes.push_back(matmul_case(32, 512, 128, 512));
  groups.push_back(std::move(matmul));
  groups.push_back(rows_group("add", add_case, 4096, 10));
  groups.push_back(rows_group("gelu", gelu_case, 14336, 10));
  groups.push_back(rows_group("add+gelu", add_gelu_case, 4096, 10, 20));
  for (DType dtype : {DType::f32, DType::bf16})
    groups.push_back(product_group("linear+add+gelu", linear_add_gelu_case, dtype));
  groups.push_back(rows_group("layer_norm", layer_norm_case, 4096, 0));
  groups.push_back(rows_group("rms_norm", rms_norm_case, 4096, 0));
  groups.push_back(rows_group("softmax", softmax_case, 4096, 0));
  groups.push_back(attention_decode_group(most_bytes));
  groups.push_back(attention_prefill_group(most_bytes));
  return groups;
}

}  // namespace ingot::exec
