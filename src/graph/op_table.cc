#include "graph/op_table.h"

namespace ingot::graph {
namespace {

constexpr OpEntry kOps[] = {
    {"add", "a + b; b may be a trailing part of a's shape"},
    {"attention", "causal attention over the paged KV cache"},
    {"concat", "arrays joined along one axis"},
    {"embedding", "rows of a table by index"},
    {"gelu", "GELU, exact or by tanh"},
    {"kv_write", "new keys or values into the paged KV cache"},
    {"layer_norm", "layer normalisation of the last axis"},
    {"linear", "x W^T + bias"},
    {"linear_add", "linear plus a row or a residual"},
    {"linear_add_gelu", "gelu(linear + b)"},
    {"linear_add_silu", "silu(linear + b)"},
    {"linear_gelu", "gelu(linear)"},
    {"linear_glu", "activation(gate(x)) * up(x)"},
    {"linear_group", "several linears of one input"},
    {"linear_norm", "linear of a normalised input"},
    {"linear_qkv", "norm, q, k and v, head norms, rope and KV write"},
    {"linear_silu", "silu(linear)"},
    {"matmul", "batched matrix product"},
    {"mul", "a * b; b may be a trailing part of a's shape"},
    {"pointwise", "a chain of point-wise ops"},
    {"reshape", "the same elements under another shape"},
    {"rms_norm", "root-mean-square normalisation of the last axis"},
    {"rope", "rotary position embedding"},
    {"rope_table", "cosines and sines of the rotary angles"},
    {"sample", "next token ids from logits"},
    {"silu", "x * sigmoid(x)"},
    {"slice", "a range of one axis"},
    {"softmax", "softmax of the last axis"},
    {"transpose", "axes in another order"},
};

}  // namespace

std::span<const OpEntry> op_table() {
  return kOps;
}

const OpEntry* find_op(std::string_view name) {
  for (const OpEntry& entry : kOps) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace ingot::graph
