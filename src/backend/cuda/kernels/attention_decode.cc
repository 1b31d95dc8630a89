// attention for generated tokens: a row's keys are split by their number alone, and the pieces joined.
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/attention_launch.h"

namespace ingot::cuda {

size_t attention_decode_workspace(const backend::Backend&, const backend::Launch& launch) {
  return split_sums_bytes(read_attention(launch));
}

void launch_attention_decode(backend::Backend& backend, const backend::Launch& launch) {
  const PagedAttention attention = read_attention(launch);
  if (attention.rows == 0 || attention.heads == 0 || attention.head_dim == 0) return;
  run_attention_decode(gpu_of(backend), attention, split_sums(attention, launch));
}

}  // namespace ingot::cuda
