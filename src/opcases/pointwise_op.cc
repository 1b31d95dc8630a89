// Cases of the op pointwise: chains of point-wise ops.
#include <utility>

#include "graph/ops/pointwise.h"
#include "opcases/pointwise.h"

namespace ingot::opcases {
namespace {

using graph::PointwiseOp;
using graph::PointwiseStep;
using Kind = graph::PointwiseStep::Kind;

/// add and mul round once, as the reference does: bit for bit. Activations err as in gelu.cc and silu.cc;
/// what follows them in these chains multiplies that by at most 8 and rounds numbers below 64 a few times.
constexpr Tolerance kExact{};
constexpr Tolerance kActivation{.absolute = 8 * 1.2e-6 + 4 * 64 * kEpsilon, .relative = 16 * kEpsilon};

struct Chain {
  std::string name;
  int inputs;
  std::vector<PointwiseStep> steps;
  std::vector<bool> is_row;  // of the inputs: a row of a weight type, not f32 of the output's shape
  Tolerance tolerance;
};

std::vector<Chain> chains() {
  std::vector<Chain> all{
      {"swiglu", 2, {{Kind::silu, 0}, {Kind::mul, 2, 1}}, {false, false}, kActivation},
      {"geglu", 2, {{Kind::gelu_tanh, 0}, {Kind::mul, 2, 1}}, {false, false}, kActivation},
      {"bias_gelu", 2, {{Kind::add, 0, 1}, {Kind::gelu_erf, 2}}, {false, true}, kActivation},
      {"two_residuals", 3, {{Kind::add, 0, 1}, {Kind::add, 3, 2}}, {false, false, false}, kExact},
      {"scale_and_shift", 3, {{Kind::mul, 0, 1}, {Kind::add, 3, 2}}, {false, true, true}, kExact},
      {"one_step", 1, {{Kind::silu, 0}}, {false}, kActivation},
      {"of_itself", 1, {{Kind::add, 0, 0}, {Kind::mul, 1, 1}, {Kind::mul, 2, 0}}, {false}, kExact},
      // A result read twice, in the other order, and one that nothing reads.
      {"shared",
       3,
       {{Kind::mul, 0, 1}, {Kind::silu, 0}, {Kind::add, 3, 2}, {Kind::mul, 3, 5}},
       {false, false, true},
       kExact},
  };
  Chain longest{"longest", PointwiseOp::kMaxInputs, {}, {}, kExact};
  for (int i = 0; i < PointwiseOp::kMaxInputs; ++i) longest.is_row.push_back(i % 3 == 2);
  for (int i = 0; i < PointwiseOp::kMaxSteps; ++i) {
    longest.steps.push_back({.kind = i % 4 == 3 ? Kind::mul : Kind::add,
                             .a = i == 0 ? 0 : PointwiseOp::kMaxInputs + i - 1,
                             .b = (i + 1) % PointwiseOp::kMaxInputs});
  }
  all.push_back(std::move(longest));
  return all;
}

OpCase situation(const Chain& chain, DType row, int64_t rows, const std::vector<int64_t>& widths) {
  std::string shape = fmt::format("{}", rows);
  for (int64_t width : widths) shape += fmt::format("x{}", width);
  return {.name = fmt::format("pointwise/{}/{}/{}", chain.name, to_string(row), shape),
          .dims = tokens(rows),
          .build =
              [=](CaseBuilder& b) {
                std::vector<Dim> dims{Symbol::tokens};
                dims.insert(dims.end(), widths.begin(), widths.end());
                std::vector<Value> inputs;
                inputs.reserve(chain.is_row.size());
                for (bool is_row : chain.is_row)
                  inputs.push_back(is_row ? b.weight(row, Shape(widths), 2) : b.f32(dims, 2));
                return b.graph().append(std::make_shared<PointwiseOp>(chain.inputs, chain.steps),
                                        std::move(inputs));
              },
          .tolerance = chain.tolerance,
          .rows_are_independent = true};
}

}  // namespace

std::vector<OpCase> pointwise_cases() {
  std::vector<OpCase> cases;
  for (const Chain& chain : chains()) {
    int turn = 0;
    for (int64_t width : kAwkwardWidths)
      cases.push_back(situation(chain, kWeightTypes[turn++ % 3], 5, {width}));
    for (int64_t rows : {0, 1, 2, 3, 17, 33})
      cases.push_back(situation(chain, kWeightTypes[turn++ % 3], rows, {37}));
    for (DType row : kWeightTypes) cases.push_back(situation(chain, row, 3, {5, 7}));
    cases.push_back(situation(chain, DType::bf16, 300, {129}));  // several chunks
  }
  cases.push_back(
      {.name = "pointwise/row_of_one/9", .dims = tokens(9), .build = [](CaseBuilder& b) {
         const Value x = b.f32({Symbol::tokens});
         const std::vector<PointwiseStep> steps{{Kind::mul, 0, 1}, {Kind::add, 2, 0}};
         return b.graph().append(std::make_shared<PointwiseOp>(2, steps), {x, b.weight(DType::f16, {})});
       }});
  OpCase speed = situation(chains()[0], DType::f32, 512, {4096});
  speed.is_speed_case = true;
  cases.push_back(std::move(speed));
  speed = situation(chains()[0], DType::f32, 1, {3072});
  speed.is_speed_case = true;
  cases.push_back(std::move(speed));
  return cases;
}

std::vector<BadCase> pointwise_bad_cases() {
  const auto with = [](int inputs, const std::vector<PointwiseStep>& steps,
                       const std::vector<TensorType>& types) {
    return [=](Graph& g) {
      const auto op = std::make_shared<PointwiseOp>(inputs, steps);
      std::vector<Value> values;
      values.reserve(types.size());
      for (const TensorType& type : types) values.push_back(input(g, type.dtype, type.dims));
      g.append(op, std::move(values));
    };
  };
  const TensorType x{DType::f32, {Symbol::tokens, 7}};
  const std::vector<PointwiseStep> sum{{Kind::add, 0, 1}};
  const auto count = [](int inputs, size_t steps) {
    return fmt::format("pointwise: expected 1 to 8 inputs and 1 to 16 steps, found {} inputs and {} steps",
                       inputs, steps);
  };
  return {
      {"no_steps", with(1, {}, {x}), count(1, 0)},
      {"no_inputs", with(0, sum, {}), count(0, 1)},
      {"too_many_inputs", with(9, sum, std::vector<TensorType>(9, x)), count(9, 1)},
      {"too_many_steps", with(1, std::vector<PointwiseStep>(17, {Kind::silu, 0}), {x}), count(1, 17)},
      {"operand_after_its_step", with(2, {{Kind::add, 0, 2}}, {x, x}),
       "pointwise: step 0: expected operands 0 to 1, found 0 and 2"},
      {"negative_operand", with(1, {{Kind::silu, -1}}, {x}),
       "pointwise: step 0: expected operands 0 to 0, found -1"},
      {"one_input_too_few", with(2, sum, {x}), "pointwise: expected 2 inputs, found 1"},
      {"x_is_f16", with(1, {{Kind::silu, 0}}, {{DType::f16, {7}}}),
       "silu: expected x of type f32, found f16[7]"},
      {"b_of_another_width", with(2, sum, {x, {DType::f32, {8}}}),
       "add: expected b's trailing dimension to be 7, found 8"},
      {"b_of_integers", with(2, {{Kind::mul, 0, 1}}, {x, {DType::i32, {7}}}),
       "mul: expected b of type f32, f16 or bf16, found i32[7]"},
  };
}

}  // namespace ingot::opcases
