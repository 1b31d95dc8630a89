#include "fuse/passes.h"

namespace ingot::fuse {
namespace {

constexpr Pass kPasses[] = {
    {"dead_nodes", "drops what no output and no state needs", dead_nodes},
    {"common_subexpressions", "computes equal things once", common_subexpressions},
    // Before the epilogues, which would take gate and up apart.
    {"linear_group", "linears of one input as one: q, k and v; gate and up", linear_group},
    {"qkv", "head norms, rope and KV write behind q, k and v", qkv},
    {"glu", "activation(gate) * up as the epilogue of their linears", glu},
    {"linear_add", "a row added to a linear, into it", linear_add},
    {"linear_activation", "gelu or silu of a linear, into it", linear_activation},
    {"residual_add", "the residual's addition, into the linear before it", residual_add},
    // After the groups, so that the norm has one reader.
    {"norm_prologue", "rms_norm or layer_norm, into the linears that read it", norm_prologue},
    {"pointwise_chain", "chains of point-wise ops as one", pointwise_chain},
    {"dead_nodes", "drops what no output and no state needs", dead_nodes},
};

}  // namespace

std::span<const Pass> passes() {
  return kPasses;
}

}  // namespace ingot::fuse
