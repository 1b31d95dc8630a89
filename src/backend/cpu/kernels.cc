#include "backend/cpu/kernels.h"

#include "graph/op_table.h"

namespace ingot::cpu {
namespace {

using backend::Backend;
using backend::Kernel;
using backend::KernelQuery;
using backend::Launch;
using backend::StepClass;

bool always(const KernelQuery&) {
  return true;
}
bool prefill(const KernelQuery& query) {
  return query.step == StepClass::prefill;
}
bool decode(const KernelQuery& query) {
  return query.step == StepClass::decode;
}

// The op's definition: what an op without a row of its own runs on.
void launch_reference(Backend&, const Launch& launch) {
  if (launch.results.empty()) {
    launch.op->reference(launch.inputs, launch.output);
    return;
  }
  std::vector<graph::Tensor> outputs{launch.output};
  outputs.insert(outputs.end(), launch.results.begin(), launch.results.end());
  launch.op->reference_all(launch.inputs, outputs);
}

constexpr Kernel kKernels[] = {
    // op, kernel, predicate, workspace, launcher, first weights
    {"add", "add", always, nullptr, launch_add},
    {"attention", "attention_decode", decode, attention_decode_workspace, launch_attention_decode},
    {"attention", "attention_prefill", prefill, attention_prefill_workspace, launch_attention_prefill},
    {"concat", "copy", always, nullptr, launch_reference},
    {"embedding", "embedding", always, nullptr, launch_embedding},
    {"gelu", "gelu", always, nullptr, launch_gelu},
    {"kv_write", "copy", always, nullptr, launch_reference},
    {"layer_norm", "layer_norm", always, nullptr, launch_layer_norm},
    {"linear", "linear_decode", decode, linear_decode_workspace, launch_linear_decode, linear_first_weights},
    {"linear", "linear_prefill", prefill, linear_prefill_workspace, launch_linear_prefill},
    {"linear", "reference", always, nullptr, launch_reference},
    {"linear_add", "linear_decode", decode, fused_decode_workspace, launch_fused_decode, fused_first_weights},
    {"linear_add", "linear_prefill", prefill, linear_prefill_workspace, launch_fused_prefill},
    {"linear_add_gelu", "linear_decode", decode, fused_decode_workspace, launch_fused_decode,
     fused_first_weights},
    {"linear_add_gelu", "linear_prefill", prefill, linear_prefill_workspace, launch_fused_prefill},
    {"linear_add_silu", "linear_decode", decode, fused_decode_workspace, launch_fused_decode,
     fused_first_weights},
    {"linear_add_silu", "linear_prefill", prefill, linear_prefill_workspace, launch_fused_prefill},
    {"linear_gelu", "linear_decode", decode, fused_decode_workspace, launch_fused_decode,
     fused_first_weights},
    {"linear_gelu", "linear_prefill", prefill, linear_prefill_workspace, launch_fused_prefill},
    {"linear_glu", "linear_decode", decode, fused_decode_workspace, launch_fused_decode, fused_first_weights},
    {"linear_glu", "linear_prefill", prefill, linear_prefill_workspace, launch_fused_prefill},
    {"linear_group", "linear_decode", decode, fused_decode_workspace, launch_fused_decode,
     fused_first_weights},
    {"linear_group", "linear_prefill", prefill, linear_prefill_workspace, launch_fused_prefill},
    {"linear_norm", "linear_decode", decode, fused_decode_workspace, launch_fused_decode,
     fused_first_weights},
    {"linear_norm", "linear_prefill", prefill, linear_prefill_workspace, launch_fused_prefill},
    {"linear_qkv", "linear_qkv_decode", decode, qkv_decode_workspace, launch_qkv_decode, qkv_first_weights},
    {"linear_qkv", "linear_qkv_prefill", prefill, qkv_prefill_workspace, launch_qkv_prefill},
    {"linear_silu", "linear_decode", decode, fused_decode_workspace, launch_fused_decode,
     fused_first_weights},
    {"linear_silu", "linear_prefill", prefill, linear_prefill_workspace, launch_fused_prefill},
    {"matmul", "reference", always, nullptr, launch_reference},
    {"mul", "mul", always, nullptr, launch_mul},
    {"pointwise", "pointwise", supports_pointwise, nullptr, launch_pointwise},
    {"reshape", "copy", always, nullptr, launch_reference},
    {"rms_norm", "rms_norm", always, nullptr, launch_rms_norm},
    {"rope", "rope", always, nullptr, launch_rope},
    {"rope_table", "reference", always, nullptr, launch_reference},
    {"sample", "sample", always, sample_workspace, launch_sample},
    {"silu", "silu", always, nullptr, launch_silu},
    {"slice", "copy", always, nullptr, launch_reference},
    {"softmax", "softmax", always, nullptr, launch_softmax},
    {"transpose", "copy", always, nullptr, launch_reference},
};

}  // namespace

std::span<const Kernel> kernel_table() {
  return kKernels;
}

}  // namespace ingot::cpu
