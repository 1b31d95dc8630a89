// Joins the pieces that a row's keys were split into: one block for each row and query head.
//
// The order of the sums depends on the number of pieces and the width of heads alone.
#include <cmath>

#include "backend/cuda/kernels/attention_rows.cuh"
#include "backend/cuda/kernels/dependent_launch.cuh"

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

/// T: float, or float4 where the width of heads allows. `units`: of a head, that threads take at once.
template <typename T>
__global__ void __launch_bounds__(kThreads, 4)
    join_splits(const PagedAttention a, const SplitSums sums, const int units) {
  __shared__ AttentionRow row;
  __shared__ T parts[kThreads];
  let_dependents_start();
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t head = blockIdx.x;
  const bool is_row = find_row(a, static_cast<int>(blockIdx.x / static_cast<unsigned>(a.heads)), row);
  wait_for_predecessor();
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
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = static_cast<unsigned>(int64_t{a.rows} * a.heads);
  config.blockDim = kThreads;
  config.stream = gpu.stream;
  config.attrs = &attribute;
  config.numAttrs = gpu.compute_capability >= 90 ? 1 : 0;
  cudaLaunchKernelEx(&config, join_splits<T>, a, sums, all_units < kThreads ? all_units : kThreads);
}

}  // namespace

void run_attention_join(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  if (a.head_dim % 4 == 0) return run<float4>(gpu, a, sums);
  run<float>(gpu, a, sums);
}

}  // namespace ingot::cuda
