#include "backend/cuda/kernels.h"

#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/linear_choice.h"
#include "backend/cuda/kernels/pointwise.h"

namespace ingot::cuda {
namespace {

using backend::Kernel;
using backend::KernelQuery;
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
bool prefill_tf32(const KernelQuery& query) {
  const graph::TensorType& q = query.inputs[0];
  return prefill(query) && has_tf32_attention(q.dim(2).extent());
}

/// Devices without Hopper's products take tf32 there, too, which rounds alike.
bool prefill_f16(const KernelQuery& query) {
  const int64_t head_dim = query.inputs[0].dim(2).extent();
  return prefill(query) && (head_dim == 64 || head_dim == 128);
}

constexpr double kTf32Rounding = 0x1p-11;

/// A linear, fused or not: one row for each precision that its operands are rounded to.
#define INGOT_CUDA_LINEAR(op)                                                                                \
  {op, "linear_decode_exact", supports_linear_decode_exact, linear_decode_workspace, launch_linear_decode},  \
      {op,                                                                                                   \
       "linear_decode_f16",                                                                                  \
       supports_linear_decode_f16,                                                                           \
       linear_decode_workspace,                                                                              \
       launch_linear_decode,                                                                                 \
       nullptr,                                                                                              \
       kF16Rounding},                                                                                        \
      {op,      "linear_decode", supports_linear_decode, linear_decode_workspace, launch_linear_decode,      \
       nullptr, kBf16Rounding},                                                                              \
      {op, "linear_prefill_exact", supports_linear_prefill_exact, linear_prefill_workspace,                  \
       launch_linear_prefill},                                                                               \
      {op,                                                                                                   \
       "linear_prefill_f16",                                                                                 \
       supports_linear_prefill_f16,                                                                          \
       linear_prefill_workspace,                                                                             \
       launch_linear_prefill,                                                                                \
       nullptr,                                                                                              \
       kF16Rounding},                                                                                        \
      {op,                                                                                                   \
       "linear_prefill_bf16",                                                                                \
       supports_linear_prefill_bf16,                                                                         \
       linear_prefill_workspace,                                                                             \
       launch_linear_prefill,                                                                                \
       nullptr,                                                                                              \
       kBf16Rounding},                                                                                       \
  {                                                                                                          \
    op, "linear_prefill", supports_linear_prefill, linear_prefill_workspace, launch_linear_prefill, nullptr, \
        kDecodedRounding                                                                                     \
  }

constexpr Kernel kKernels[] = {
    // op, kernel, predicate, workspace, launcher, first weights, rounding
    {"add", "add", always, nullptr, launch_add},
    {"attention", "attention_decode", decode, attention_decode_workspace, launch_attention_decode},
    {"attention", "attention_f16", prefill_f16, attention_prefill_workspace, launch_attention_prefill,
     nullptr, kF16Rounding},
    {"attention", "attention_tf32", prefill_tf32, attention_prefill_workspace, launch_attention_prefill,
     nullptr, kTf32Rounding},
    {"attention", "attention_prefill", prefill, attention_prefill_workspace, launch_attention_prefill},
    {"concat", "concat", always, nullptr, launch_concat},
    {"embedding", "embedding", always, nullptr, launch_embedding},
    {"gelu", "gelu", always, nullptr, launch_gelu},
    {"kv_write", "kv_write", always, nullptr, launch_kv_write},
    {"layer_norm", "layer_norm", always, nullptr, launch_layer_norm},
    INGOT_CUDA_LINEAR("linear"),
    INGOT_CUDA_LINEAR("linear_add"),
    INGOT_CUDA_LINEAR("linear_add_gelu"),
    INGOT_CUDA_LINEAR("linear_add_silu"),
    INGOT_CUDA_LINEAR("linear_gelu"),
    INGOT_CUDA_LINEAR("linear_glu"),
    INGOT_CUDA_LINEAR("linear_group"),
    INGOT_CUDA_LINEAR("linear_norm"),
    {"linear_qkv", "qkv_decode_exact", supports_linear_decode_exact, qkv_decode_workspace, launch_qkv_decode},
    {"linear_qkv", "qkv_decode_f16", supports_linear_decode_f16, qkv_decode_workspace, launch_qkv_decode,
     nullptr, kF16Rounding},
    {"linear_qkv", "qkv_decode", supports_linear_decode, qkv_decode_workspace, launch_qkv_decode, nullptr,
     kBf16Rounding},
    {"linear_qkv", "qkv_prefill_exact", supports_linear_prefill_exact, qkv_prefill_workspace,
     launch_qkv_prefill},
    {"linear_qkv", "qkv_prefill_f16", supports_linear_prefill_f16, qkv_prefill_workspace, launch_qkv_prefill,
     nullptr, kF16Rounding},
    {"linear_qkv", "qkv_prefill_bf16", supports_linear_prefill_bf16, qkv_prefill_workspace,
     launch_qkv_prefill, nullptr, kBf16Rounding},
    {"linear_qkv", "qkv_prefill", supports_linear_prefill, qkv_prefill_workspace, launch_qkv_prefill, nullptr,
     kDecodedRounding},
    INGOT_CUDA_LINEAR("linear_silu"),
    {"matmul", "matmul", always, nullptr, launch_matmul},
    {"mul", "mul", always, nullptr, launch_mul},
    {"pointwise", "pointwise", supports_pointwise, nullptr, launch_pointwise},
    {"reshape", "reshape", always, nullptr, launch_reshape},
    {"rms_norm", "rms_norm", always, nullptr, launch_rms_norm},
    {"rope", "rope", always, nullptr, launch_rope},
    {"rope_table", "rope_table", always, nullptr, launch_rope_table},
    {"sample", "sample", always, sample_workspace, launch_sample},
    {"silu", "silu", always, nullptr, launch_silu},
    {"slice", "slice", always, nullptr, launch_slice},
    {"softmax", "softmax", always, nullptr, launch_softmax},
    {"transpose", "transpose", always, nullptr, launch_transpose},
};

#undef INGOT_CUDA_LINEAR

}  // namespace

std::span<const Kernel> kernel_table() {
  return kKernels;
}

}  // namespace ingot::cuda
