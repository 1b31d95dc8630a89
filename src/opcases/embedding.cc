#include "graph/ops/embedding.h"

#include "opcases/cases.h"

namespace ingot::opcases {
namespace {

OpCase situation(DType dtype, int64_t rows, int64_t table_rows, int64_t width) {
  return {.name = fmt::format("embedding/{}/{}of{}x{}", to_string(dtype), rows, table_rows, width),
          .dims = tokens(rows),
          .build =
              [=](CaseBuilder& b) {
                std::vector<int32_t> ids;
                for (int64_t i = 0; i < rows; ++i) ids.push_back(b.below(table_rows));
                if (rows > 1) ids.back() = static_cast<int32_t>(table_rows - 1);
                const Value tokens = b.i32({Symbol::tokens}, std::move(ids));
                return graph::embedding(b.graph(), tokens, b.weight(dtype, {table_rows, width}));
              },
          .tolerance = {},  // decoding is exact
          .rows_are_independent = true};
}

}  // namespace

std::vector<OpCase> embedding_cases() {
  std::vector<OpCase> cases;
  for (DType dtype : kWeightTypes) {
    for (int64_t width : kAwkwardWidths) cases.push_back(situation(dtype, 17, 11, width));
    cases.push_back(situation(dtype, 0, 11, 5));
    cases.push_back(situation(dtype, 1, 1, 5));
    OpCase speed = situation(dtype, 512, 1000, 4096);
    speed.is_speed_case = true;
    cases.push_back(std::move(speed));
  }
  for (int64_t width : {1, 2, 77}) cases.push_back(situation(DType::f8_e4m3, 5, 11, width));
  for (DType dtype : kBlockTypes) {
    const int64_t block = block_of(dtype).elements;
    for (int64_t width : {0, 1, 2, 3, 8, 11}) cases.push_back(situation(dtype, 9, 7, width * block));
  }
  // The rows that the output head runs on: the table is an activation.
  cases.push_back({.name = "embedding/activation", .dims = tokens(9), .build = [](CaseBuilder& b) {
                     const Value rows = b.i32({3}, {8, 0, 4});
                     return graph::embedding(b.graph(), rows, b.f32({Symbol::tokens, 33}));
                   }});
  return cases;
}

std::vector<BadCase> embedding_bad_cases() {
  const auto with = [](const TensorType& ids, const TensorType& table) {
    return [=](Graph& g) {
      const Value rows = g.input("ids", ids);
      graph::embedding(g, rows, g.input("table", table));
    };
  };
  return {
      {"ids_are_floats", with({DType::f32, {Symbol::tokens}}, {DType::f32, {3, 4}}),
       "embedding: expected ids of type i32, found f32[T]"},
      {"ids_of_rank_2", with({DType::i32, {Symbol::tokens, 1}}, {DType::f32, {3, 4}}),
       "embedding: expected ids of rank 1, found i32[T, 1]"},
      {"table_of_rank_1", with({DType::i32, {Symbol::tokens}}, {DType::f32, {4}}),
       "embedding: expected the table of rank 2, found f32[4]"},
      {"table_of_integers", with({DType::i32, {Symbol::tokens}}, {DType::i32, {3, 4}}),
       "embedding: expected the table of a type for weights, found i32[3, 4]"},
  };
}

}  // namespace ingot::opcases
