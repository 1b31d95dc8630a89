// attention for prompt tokens: on tensor cores where the width of heads allows.
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/attention_launch.h"

namespace ingot::cuda {

size_t attention_prefill_workspace(const backend::Backend&, const backend::Launch&) {
  return 0;
}

void launch_attention_prefill(backend::Backend& backend, const backend::Launch& launch) {
  const PagedAttention attention = read_attention(launch);
  if (attention.rows == 0 || attention.heads == 0 || attention.head_dim == 0) return;
  if (has_tf32_attention(attention.head_dim)) {
    run_attention_tf32(gpu_of(backend), attention);
  } else {
    run_attention_any(gpu_of(backend), attention, nullptr);
  }
}

}  // namespace ingot::cuda
