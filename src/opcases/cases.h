// The case lists that table.cc names, each defined in <op>.cc, and what they share.
#pragma once

#include <fmt/format.h>

#include "opcases/op_case.h"

namespace ingot::opcases {

using graph::Dim;
using graph::DimValues;
using graph::Graph;
using graph::Symbol;
using graph::TensorType;
using graph::Value;

inline constexpr DType kWeightTypes[] = {DType::f32, DType::f16, DType::bf16};
inline constexpr DType kBlockTypes[] = {DType::q8_0,   DType::q4_0,   DType::q4_1, DType::q5_0, DType::q5_1,
                                        DType::q2_k,   DType::q3_k,   DType::q4_k, DType::q5_k, DType::q6_k,
                                        DType::iq4_nl, DType::iq4_xs, DType::mxfp4};

/// Widths around every vector length there is (4, 8, 16 lanes), primes, one, none.
inline constexpr int64_t kAwkwardWidths[] = {0, 1, 2, 3, 4, 5, 7, 8, 13, 15, 16, 17, 31, 33, 64, 127, 257};

inline DimValues tokens(int64_t count) {
  DimValues dims;
  dims[Symbol::tokens] = count;
  return dims;
}

/// An input of a graph that is only built.
inline Value input(Graph& graph, DType dtype, std::vector<Dim> dims) {
  return graph.input(fmt::format("x{}", graph.nodes().size()), {dtype, std::move(dims)});
}

std::vector<OpCase> add_cases();
std::vector<BadCase> add_bad_cases();
std::vector<OpCase> attention_cases();
std::vector<BadCase> attention_bad_cases();
std::vector<OpCase> concat_cases();
std::vector<BadCase> concat_bad_cases();
std::vector<OpCase> embedding_cases();
std::vector<BadCase> embedding_bad_cases();
std::vector<OpCase> gelu_cases();
std::vector<BadCase> gelu_bad_cases();
std::vector<OpCase> kv_write_cases();
std::vector<BadCase> kv_write_bad_cases();
std::vector<OpCase> layer_norm_cases();
std::vector<BadCase> layer_norm_bad_cases();
std::vector<OpCase> linear_cases();
std::vector<BadCase> linear_bad_cases();
std::vector<OpCase> linear_add_cases();
std::vector<BadCase> linear_add_bad_cases();
std::vector<OpCase> linear_add_gelu_cases();
std::vector<BadCase> linear_add_gelu_bad_cases();
std::vector<OpCase> linear_add_silu_cases();
std::vector<BadCase> linear_add_silu_bad_cases();
std::vector<OpCase> linear_gelu_cases();
std::vector<BadCase> linear_gelu_bad_cases();
std::vector<OpCase> linear_glu_cases();
std::vector<BadCase> linear_glu_bad_cases();
std::vector<OpCase> linear_group_cases();
std::vector<BadCase> linear_group_bad_cases();
std::vector<OpCase> linear_norm_cases();
std::vector<BadCase> linear_norm_bad_cases();
std::vector<OpCase> linear_qkv_cases();
std::vector<BadCase> linear_qkv_bad_cases();
std::vector<OpCase> linear_silu_cases();
std::vector<BadCase> linear_silu_bad_cases();
std::vector<OpCase> matmul_cases();
std::vector<BadCase> matmul_bad_cases();
std::vector<OpCase> mul_cases();
std::vector<BadCase> mul_bad_cases();
std::vector<OpCase> pointwise_cases();
std::vector<BadCase> pointwise_bad_cases();
std::vector<OpCase> reshape_cases();
std::vector<BadCase> reshape_bad_cases();
std::vector<OpCase> rms_norm_cases();
std::vector<BadCase> rms_norm_bad_cases();
std::vector<OpCase> rope_cases();
std::vector<BadCase> rope_bad_cases();
std::vector<OpCase> rope_table_cases();
std::vector<BadCase> rope_table_bad_cases();
std::vector<OpCase> sample_cases();
std::vector<BadCase> sample_bad_cases();
std::vector<OpCase> silu_cases();
std::vector<BadCase> silu_bad_cases();
std::vector<OpCase> slice_cases();
std::vector<BadCase> slice_bad_cases();
std::vector<OpCase> softmax_cases();
std::vector<BadCase> softmax_bad_cases();
std::vector<OpCase> transpose_cases();
std::vector<BadCase> transpose_bad_cases();

}  // namespace ingot::opcases
