// Joins the pieces that a row's keys were split into: one block for each row and query head.
//
// The order of the sums depends on the number of pieces and the width of heads alone.
#include <cmath>

#include "backend/cuda/kernels/attention_rows.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 128;

__device__ void add(float& sum, float a, float weight) {
  sum = fmaf(weight, a, sum);
}
__device__ void add(float4& sum, float4 a, float weight) {
  sum = {fmaf(weight, a.x, sum.x), fmaf(weight, a.y, sum.y), fmaf(weight, a.z, sum.z),
         fmaf(weight, a.w, sum.w)};
}

struct Join {
  PagedAttention attention;
  SplitSums sums;
  int units;  // of a head, that threads take at once
};

/// T: float, or float4 where the width of heads allows.
template <typename T>
__global__ void __launch_bounds__(kThreads, 4) join_splits(const Join join) {
  const PagedAttention& a = join.attention;
  const SplitSums& sums = join.sums;
  const int units = join.units;
  __shared__ AttentionRow row;
  __shared__ T parts[kThreads];
  begin_next_kernel();
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t head = blockIdx.x;
  // The step's inputs were there before the kernel ahead began; only what it writes has to be waited for.
  const bool is_row = find_row(a, static_cast<int>(blockIdx.x / static_cast<unsigned>(a.heads)), row);
  wait_for_inputs();
  if (!is_row) return;
  const int splits = splits_of(row.keys());
  if (splits == 1) return;

  // Every warp for itself: the highest score, and the sum of all weights.
  const float2* stats = sums.stats + head * sums.most_splits;
  float max = -INFINITY;
  for (int i = thread % kWarp; i < splits; i += kWarp) max = fmaxf(max, stats[i].x);
#pragma unroll
  for (int other = kWarp / 2; other > 0; other /= 2)
    max = fmaxf(max, __shfl_xor_sync(0xffffffff, max, other));
  float total = 0;
  for (int i = thread % kWarp; i < splits; i += kWarp)
    total = fmaf(expf(stats[i].x - max), stats[i].y, total);
#pragma unroll
  for (int other = kWarp / 2; other > 0; other /= 2)
    total = __fadd_rn(total, __shfl_xor_sync(0xffffffff, total, other));
  const float share = 1.0F / total;

  const int all_units = a.head_dim / static_cast<int>(sizeof(T) / sizeof(float));
  const T* mixed = reinterpret_cast<const T*>(sums.mixed) + head * sums.most_splits * all_units;
  T* out = reinterpret_cast<T*>(a.out) + head * all_units;
  const int ways = kThreads / units;  // the pieces i, i + ways …
  const int way = thread / units;
  for (int first = 0; first < all_units; first += units) {
    const int unit = first + thread % units;
    T sum{};
    if (way < ways && unit < all_units) {
#pragma unroll 8
      for (int i = way; i < splits; i += ways)
        add(sum, mixed[static_cast<int64_t>(i) * all_units + unit], expf(stats[i].x - max));
    }
    __syncthreads();  // the last parts are read
    parts[thread] = sum;
    __syncthreads();
    if (way == 0 && unit < all_units) {
      T value{};
      for (int i = 0; i < min(ways, splits); ++i) add(value, parts[i * units + thread], share);
      out[unit] = value;
    }
  }
}

template <typename T>
void run(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  const int all_units = a.head_dim / static_cast<int>(sizeof(T) / sizeof(float));
  const LaunchShape shape{.blocks = static_cast<unsigned>(int64_t{a.rows} * a.heads), .threads = kThreads};
  launch_overlapped(gpu, join_splits<T>, shape, Join{a, sums, all_units < kThreads ? all_units : kThreads});
}

}  // namespace

void run_attention_join(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  if (a.head_dim % 4 == 0) return run<float4>(gpu, a, sums);
  run<float>(gpu, a, sums);
}

}  // namespace ingot::cuda
