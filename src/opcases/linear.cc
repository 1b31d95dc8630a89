#include "graph/ops/linear.h"

#include "opcases/cases.h"
#include "opcases/linear_tolerance.h"

namespace ingot::opcases {
namespace {

using graph::WeightOrder;

struct Situation {
  WeightOrder order;
  DType weight;
  std::optional<DType> bias;
  int64_t rows;
  int64_t in;
  int64_t out;
};

OpCase situation(const Situation& s) {
  const bool out_in = s.order == WeightOrder::out_in;
  return {.name = fmt::format("linear/{}/{}{}/{}x{}x{}", out_in ? "out_in" : "in_out", to_string(s.weight),
                              s.bias ? fmt::format("+{}", to_string(*s.bias)) : "", s.rows, s.in, s.out),
          .dims = tokens(s.rows),
          .build =
              [=](CaseBuilder& b) {
                const Value x = b.f32({Symbol::tokens, s.in});
                const Value w = b.weight(s.weight, out_in ? Shape{s.out, s.in} : Shape{s.in, s.out});
                std::optional<Value> bias;
                if (s.bias) bias = b.weight(*s.bias, {s.out});
                return graph::linear(b.graph(), x, w, bias, s.order);
              },
          // Sums of `in` products of uniform numbers in [-1, 1) have deviation sqrt(in) / 3. Adding them one
          // by one in f32 rounds each by up to half a unit of the partial sum: a deviation of about 0.12 * in
          // * epsilon in all; eight of those, since the largest of many sums also round the most, and a
          // little for short ones.
          .tolerance = {.absolute =
                            (static_cast<double>(s.in) + 2) * kEpsilon + activation_error(s.weight, s.in, 1),
                        .relative = 0},
          .per_rounding = rounding_error(s.in, kUniformDeviation, kWeightDeviation),
          .rows_are_independent = true};
}

}  // namespace

std::vector<OpCase> linear_cases() {
  std::vector<OpCase> cases;
  for (WeightOrder order : {WeightOrder::out_in, WeightOrder::in_out}) {
    for (DType dtype : kWeightTypes) {
      // Widths of both sides around the kernels' blocks and vectors.
      for (int64_t in : {0, 1, 2, 7, 16, 31, 33, 64, 127, 257, 513}) {
        cases.push_back(situation({order, dtype, std::nullopt, 5, in, 19}));
      }
      for (int64_t out : {0, 1, 3, 4, 5, 15, 17, 31, 32, 33, 63, 65, 127, 131, 257}) {
        cases.push_back(situation({order, dtype, dtype, 3, 37, out}));
      }
      // Rows around the kernels' tiles.
      for (int64_t rows : {0, 1, 2, 3, 4, 6, 7, 11, 12, 13, 17, 25, 33}) {
        cases.push_back(situation({order, dtype, DType::f32, rows, 67, 41}));
      }
      cases.push_back(
          situation({order, dtype, std::nullopt, 17, 300, 600}));  // several blocks in every direction
      // Rows and outputs around the tiles of tensor cores, which take widths that are multiples of eight.
      for (int64_t rows : {1, 31, 33, 64, 65, 129, 257}) {
        cases.push_back(
            situation({order, dtype, DType::bf16, rows, 8 * rows % 304 + 8, rows % 2 == 0 ? 192 : 133}));
      }
    }
    cases.push_back(situation({order, DType::bf16, DType::f16, 2, 33, 35}));
    cases.push_back(situation({order, DType::f32, DType::bf16, 2, 33, 35}));
    cases.push_back(situation({order, DType::f16, DType::f32, 1, 1, 1}));
    cases.push_back(situation({order, DType::f8_e4m3, DType::f32, 3, 77, 39}));
    for (DType dtype : kWeightTypes) {
      for (int64_t rows : {1, 128}) {
        OpCase speed = situation({order, dtype, std::nullopt, rows, 1024, rows == 1 ? 4096 : 1024});
        speed.is_speed_case = true;
        cases.push_back(std::move(speed));
      }
    }
  }
  for (DType dtype : kBlockTypes) {
    const int64_t block = block_of(dtype).elements;
    const auto blocks = [&](std::optional<DType> bias, int64_t rows, int64_t in, int64_t out) {
      cases.push_back(situation({WeightOrder::out_in, dtype, bias, rows, in, out}));
    };
    for (int64_t in : {0, 1, 2, 3, 5, 7, 8, 9, 17}) blocks(std::nullopt, 3, in * block, 7);
    for (int64_t out : {0, 1, 2, 3, 4, 5, 15, 17, 31, 33, 97, 131}) blocks(DType::f32, 2, 512, out);
    for (int64_t rows : {0, 1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 65}) {
      blocks(DType::bf16, rows, 256, 13);
    }
    blocks(std::nullopt, 17, 1280, 200);
    for (int64_t rows : {1, 128}) {
      // The reference takes seconds for 128 rows: the formats that people use most.
      if (rows > 1 && dtype != DType::q8_0 && dtype != DType::q4_k) continue;
      OpCase speed =
          situation({WeightOrder::out_in, dtype, std::nullopt, rows, 1024, rows == 1 ? 4096 : 1024});
      speed.is_speed_case = true;
      cases.push_back(std::move(speed));
    }
  }
  return cases;
}

std::vector<BadCase> linear_bad_cases() {
  const auto with = [](const TensorType& x, const TensorType& w, const std::optional<TensorType>& bias,
                       WeightOrder order = WeightOrder::out_in) {
    return [=](Graph& g) {
      const Value value = g.input("x", x);
      const Value weight = g.input("w", w);
      std::optional<Value> b;
      if (bias) b = g.input("b", *bias);
      graph::linear(g, value, weight, b, order);
    };
  };
  const TensorType x{DType::f32, {Symbol::tokens, 4}};
  const TensorType w{DType::bf16, {6, 4}};
  return {
      {"x_of_rank_3", with({DType::f32, {Symbol::tokens, 2, 2}}, w, {}),
       "linear: expected x of rank 2, found f32[T, 2, 2]"},
      {"x_is_bf16", with({DType::bf16, {Symbol::tokens, 4}}, w, {}),
       "linear: expected x of type f32, found bf16[T, 4]"},
      {"weight_of_rank_1", with(x, {DType::f32, {4}}, {}),
       "linear: expected the weight of rank 2, found f32[4]"},
      {"weight_of_integers", with(x, {DType::i8, {6, 4}}, {}),
       "linear: expected the weight of a type for weights, found i8[6, 4]"},
      {"weight_of_part_of_a_block", with({DType::f32, {Symbol::tokens, 48}}, {DType::q8_0, {6, 48}}, {}),
       "linear: expected the width of the weight to be a multiple of 32, found q8_0[6, 48]"},
      {"weight_of_blocks_in_the_other_order",
       with({DType::f32, {Symbol::tokens, 64}}, {DType::q8_0, {64, 32}}, {}, WeightOrder::in_out),
       "linear: expected a weight of blocks in the order [out, in], found q8_0[64, 32]"},
      {"bias_of_blocks", with(x, w, TensorType{DType::q8_0, {32}}),
       "linear: expected the bias of type f32, f16 or bf16, found q8_0[32]"},
      {"weight_of_another_input_width", with(x, {DType::f32, {6, 5}}, {}),
       "linear: expected the weight's input width to be 4, found 5"},
      {"weight_of_the_other_order", with(x, w, {}, WeightOrder::in_out),
       "linear: expected the weight's input width to be 4, found 6"},
      {"bias_of_rank_2", with(x, w, TensorType{DType::f32, {1, 6}}),
       "linear: expected the bias of rank 1, found f32[1, 6]"},
      {"bias_of_integers", with(x, w, TensorType{DType::i32, {6}}),
       "linear: expected the bias of type f32, f16 or bf16, found i32[6]"},
      {"bias_of_another_width", with(x, w, TensorType{DType::f32, {4}}),
       "linear: expected the bias's width to be 6, found 4"},
  };
}

}  // namespace ingot::opcases
