// attention for generated tokens: a row's keys are split by their number alone, and the pieces joined.
#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/attention_launch.h"

namespace ingot::cuda {
namespace {

/// Heads of all rows, each with as many pieces as a row has at most; even, so that vectors of four can
/// follow.
size_t pieces(const PagedAttention& attention, int splits) {
  const size_t count = static_cast<size_t>(attention.rows) * static_cast<size_t>(attention.heads) *
                       static_cast<size_t>(splits);
  return (count + 1) / 2 * 2;
}

/// Where the pieces of generated tokens' rows lie in the launch's workspace; nowhere where rows have one.
SplitSums split_sums(const PagedAttention& attention, const backend::Launch& launch) {
  // At least one: rows of no sequence are written even where there are no pages.
  SplitSums sums{.most_splits = std::max(1, most_splits(attention, most_keys(attention)))};
  if (sums.most_splits > 1) {
    const size_t count = pieces(attention, sums.most_splits);
    sums.stats = reinterpret_cast<float2*>(launch.workspace.data());
    sums.mixed = reinterpret_cast<float*>(sums.stats + count);
  }
  return sums;
}

}  // namespace

size_t attention_decode_workspace(const backend::Backend&, const backend::Launch& launch) {
  const PagedAttention attention = read_attention(launch);
  const int splits = most_splits(attention, most_keys(attention));
  if (splits <= 1) return 0;
  return pieces(attention, splits) *
         (static_cast<size_t>(attention.head_dim) * sizeof(float) + sizeof(float2));
}

void launch_attention_decode(backend::Backend& backend, const backend::Launch& launch) {
  PagedAttention attention = read_attention(launch);
  if (attention.rows == 0 || attention.heads == 0 || attention.head_dim == 0) return;
  if (rounds_output(attention)) {
    const int64_t width = int64_t{attention.heads} * attention.head_dim;
    attention.out_bf16 = cuda_of(backend).rounded_rows().begin(attention.out, attention.rows, width);
  }
  run_attention_decode(gpu_of(backend), attention, split_sums(attention, launch));
}

}  // namespace ingot::cuda
