#include "opcases/cases.h"

namespace ingot::opcases {
namespace {

constexpr OpCases kTable[] = {
    {"add", add_cases, add_bad_cases},
    {"attention", attention_cases, attention_bad_cases},
    {"concat", concat_cases, concat_bad_cases},
    {"embedding", embedding_cases, embedding_bad_cases},
    {"gelu", gelu_cases, gelu_bad_cases},
    {"kv_write", kv_write_cases, kv_write_bad_cases},
    {"layer_norm", layer_norm_cases, layer_norm_bad_cases},
    {"linear", linear_cases, linear_bad_cases},
    {"linear_add", linear_add_cases, linear_add_bad_cases},
    {"linear_add_gelu", linear_add_gelu_cases, linear_add_gelu_bad_cases},
    {"linear_add_silu", linear_add_silu_cases, linear_add_silu_bad_cases},
    {"linear_gelu", linear_gelu_cases, linear_gelu_bad_cases},
    {"linear_glu", linear_glu_cases, linear_glu_bad_cases},
    {"linear_group", linear_group_cases, linear_group_bad_cases},
    {"linear_norm", linear_norm_cases, linear_norm_bad_cases},
    {"linear_qkv", linear_qkv_cases, linear_qkv_bad_cases},
    {"linear_silu", linear_silu_cases, linear_silu_bad_cases},
    {"matmul", matmul_cases, matmul_bad_cases},
    {"mul", mul_cases, mul_bad_cases},
    {"pointwise", pointwise_cases, pointwise_bad_cases},
    {"reshape", reshape_cases, reshape_bad_cases},
    {"rms_norm", rms_norm_cases, rms_norm_bad_cases},
    {"rope", rope_cases, rope_bad_cases},
    {"rope_table", rope_table_cases, rope_table_bad_cases},
    {"sample", sample_cases, sample_bad_cases},
    {"silu", silu_cases, silu_bad_cases},
    {"slice", slice_cases, slice_bad_cases},
    {"softmax", softmax_cases, softmax_bad_cases},
    {"transpose", transpose_cases, transpose_bad_cases},
};

}  // namespace

std::span<const OpCases> table() {
  return kTable;
}

}  // namespace ingot::opcases
