// Joins the pieces that a row's keys were split into: one block for each row and query head.
#include "backend/cuda/kernels/attention_join.cuh"
#include "backend/cuda/kernels/attention_rows.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

struct Join {
  PagedAttention attention;
  SplitSums sums;
};

/// T: float, or float4 where the width of heads allows.
template <typename T>
__global__ void __launch_bounds__(kJoinTeam, 4) join_splits(const Join join) {
  const PagedAttention& a = join.attention;
  const SplitSums& sums = join.sums;
  __shared__ AttentionRow row;
  __shared__ T parts[kJoinTeam];
  begin_next_kernel();
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t head = blockIdx.x;
  // Until inputs are there: only what the step was given (linear_overlap.cuh).
  const bool is_row = find_row(a, static_cast<int>(blockIdx.x / static_cast<unsigned>(a.heads)), row);
  wait_for_inputs();
  if (!is_row) return;
  const int splits = splits_of(row.keys(), a.kv_heads);
  if (splits > 1) join_pieces(a, sums, head, splits, thread, parts);
}

template <typename T>
void run(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  const LaunchShape shape{.blocks = static_cast<unsigned>(int64_t{a.rows} * a.heads), .threads = kJoinTeam};
  launch_overlapped(gpu, join_splits<T>, shape, Join{a, sums});
}

}  // namespace

void run_attention_join(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  if (a.head_dim % 4 == 0) return run<float4>(gpu, a, sums);
  run<float>(gpu, a, sums);
}

}  // namespace ingot::cuda
