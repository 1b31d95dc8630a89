// attention for prompt tokens: on tensor cores where the width of heads allows.
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/attention_launch.h"

namespace ingot::cuda {

size_t attention_prefill_workspace(const backend::Backend& backend, const backend::Launch& launch) {
  const PagedAttention attention = read_attention(launch);
  return has_f16_attention(gpu_of(backend), attention.head_dim) ? f16_attention_workspace(attention) : 0;
}

void launch_attention_prefill(backend::Backend& backend, const backend::Launch& launch) {
  const PagedAttention attention = read_attention(launch);
  const Gpu& gpu = gpu_of(backend);
  if (attention.rows == 0 || attention.heads == 0 || attention.head_dim == 0) return;
  if (has_f16_attention(gpu, attention.head_dim)) {
    run_attention_f16(gpu, attention, launch.workspace.data());
  } else if (has_tf32_attention(attention.head_dim)) {
    run_attention_tf32(gpu, attention);
  } else {
    run_attention_any(gpu, attention, nullptr);
  }
}

}  // namespace ingot::cuda
