// Joins the pieces that a row's keys were split into: one block for each row and query head. The order of the
// sums depends on the number of pieces and the width of heads alone.
#include <cmath>

#include "backend/cuda/kernels/attention_rows.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kJoinTeam = 128;  // threads
constexpr int kMostWays = 8;    // sums of a head that are added in the end

namespace joining {

__device__ __forceinline__ void add(float& sum, float a, float weight) {
  sum = fmaf(weight, a, sum);
}
__device__ __forceinline__ void add(float4& sum, float4 a, float weight) {
  sum = {fmaf(weight, a.x, sum.x), fmaf(weight, a.y, sum.y), fmaf(weight, a.z, sum.z),
         fmaf(weight, a.w, sum.w)};
}

/// What every warp finds for itself: the highest score of the pieces, and the sum of all their weights.
struct Total {
  float max;
  float sum;
};
__device__ __forceinline__ Total total_of(const float2* stats, int splits) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float max = -INFINITY;
  for (int i = lane; i < splits; i += kWarp) max = fmaxf(max, __ldcg(stats + i).x);
#pragma unroll
  for (int other = kWarp / 2; other > 0; other /= 2)
    max = fmaxf(max, __shfl_xor_sync(0xffffffff, max, other));
  float sum = 0;
  for (int i = lane; i < splits; i += kWarp) {
    const float2 of_piece = __ldcg(stats + i);
    sum = fmaf(expf(of_piece.x - max), of_piece.y, sum);
  }
#pragma unroll
  for (int other = kWarp / 2; other > 0; other /= 2)
    sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffff, sum, other));
  return {max, sum};
}

}  // namespace joining

/// out = the pieces of `head`, of [rows, heads], joined, by kJoinTeam threads. T: float, or float4 where the
/// width of heads allows. `parts`: kJoinTeam of the team.
template <typename T>
__device__ __forceinline__ void join_pieces(const PagedAttention& a, const SplitSums& sums, int64_t head,
                                            int splits, int thread, T* parts) {
  const float2* stats = sums.stats + head * sums.most_splits;
  const auto [max, total] = joining::total_of(stats, splits);
  const float share = 1.0F / total;

  const int all_units = a.head_dim / static_cast<int>(sizeof(T) / sizeof(float));
  const int units = min(all_units, kJoinTeam);
  const T* mixed = reinterpret_cast<const T*>(sums.mixed) + head * sums.most_splits * all_units;
  const int ways = min(kJoinTeam / units, kMostWays);  // the pieces i, i + ways …
  const int way = thread / units;
  for (int first = 0; first < all_units; first += units) {
    const int unit = first + thread % units;
    T sum{};
    if (way < ways && unit < all_units) {
#pragma unroll 8
      for (int i = way; i < splits; i += ways)
        joining::add(sum, __ldcg(mixed + static_cast<int64_t>(i) * all_units + unit),
                     expf(__ldcg(stats + i).x - max));
    }
    __syncthreads();  // the last parts are read
    parts[thread] = sum;
    __syncthreads();
    if (way == 0 && unit < all_units) {
      T value{};
      for (int i = 0; i < min(ways, splits); ++i) joining::add(value, parts[i * units + thread], share);
      put_output(a, (head * all_units + unit) * (sizeof(T) / sizeof(float)), value);
    }
  }
}

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
  const int splits = splits_of(a, row.keys());
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
