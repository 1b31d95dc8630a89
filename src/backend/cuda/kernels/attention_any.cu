// Attention for any width of heads: one block for each row, query head and piece of its keys; in f32.
//
// A chunk of keys at a time: scores (a warp takes a key), their softmax (a thread takes a key), and the
// values under its weights (a thread takes a dimension).
#include <cmath>

#include "backend/cuda/kernels/attention_rows.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int kChunk = kThreads;  // keys

/// Of one value each thread, in an order of its own: the maximum, or the sum. Every thread has the result.
template <bool kIsMaximum>
__device__ float over_block(float value, float* shared) {
  const auto join = [](float x, float y) { return kIsMaximum ? fmaxf(x, y) : __fadd_rn(x, y); };
#pragma unroll
  for (int other = kWarp / 2; other > 0; other /= 2)
    value = join(value, __shfl_xor_sync(0xffffffff, value, other));
  __syncthreads();  // the last result is read
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = shared[0];
#pragma unroll
  for (int warp = 1; warp < kWarps; ++warp) value = join(value, shared[warp]);
  return value;
}

/// grid: [splits, heads, rows], the rows fastest.
__global__ void __launch_bounds__(kThreads)
    attend_any(const PagedAttention a, const SplitSums sums, const bool is_split) {
  extern __shared__ float dims[];  // the query, then what is mixed: [2, head_dim]
  __shared__ AttentionRow row;
  __shared__ int64_t offsets[kChunk];
  __shared__ float weights[kChunk];
  __shared__ float reduced[kWarps];

  const int thread = static_cast<int>(threadIdx.x);
  const int row_index = static_cast<int>(blockIdx.x % static_cast<unsigned>(a.rows));
  const int item = static_cast<int>(blockIdx.x / static_cast<unsigned>(a.rows));
  const int split = item / a.heads;
  const int64_t head = static_cast<int64_t>(row_index) * a.heads + item % a.heads;
  const int kv_head = item % a.heads / (a.heads / a.kv_heads);
  const int head_dim = a.head_dim;

  if (!find_row(a, row_index, row)) {
    if (split > 0) return;
    for (int d = thread; d < head_dim; d += kThreads) a.out[head * head_dim + d] = 0;
    return;
  }
  const int split_size = is_split ? split_keys(a, row.keys()) : row.keys();
  const int splits = is_split ? splits_of(a, row.keys()) : 1;
  if (split >= splits) return;
  const int begin = row.first + split * split_size;
  const int end = begin + min(split_size, row.keys() - split * split_size);
  const int32_t* pages = a.block_table + static_cast<int64_t>(row.sequence) * a.pages;

  float* query = dims;
  float* mixed = dims + head_dim;
  for (int d = thread; d < head_dim; d += kThreads) {
    query[d] = a.q[head * head_dim + d];
    mixed[d] = 0;
  }
  float highest = -INFINITY;
  float sum = 0;
  for (int first = begin; first < end; first += kChunk) {
    const int count = min(kChunk, end - first);
    __syncthreads();  // the last chunk is done with
    if (thread < count) offsets[thread] = cache_offset(a, pages, kv_head, first + thread);
    __syncthreads();
    for (int k = thread / kWarp; k < count; k += kWarps) {
      const float* key = a.keys + offsets[k];
      float score = 0;
      for (int d = thread % kWarp; d < head_dim; d += kWarp) score = fmaf(query[d], key[d], score);
#pragma unroll
      for (int other = kWarp / 2; other > 0; other /= 2)
        score = __fadd_rn(score, __shfl_xor_sync(0xffffffff, score, other));
      if (thread % kWarp == 0) weights[k] = __fmul_rn(score, a.scale);
    }
    __syncthreads();
    const float score = thread < count ? weights[thread] : -INFINITY;
    const float max = fmaxf(highest, over_block<true>(score, reduced));
    const float weight = thread < count ? expf(score - max) : 0.0F;
    const float rescale = max == highest ? 1.0F : expf(highest - max);
    weights[thread] = weight;
    sum = fmaf(sum, rescale, over_block<false>(weight, reduced));  // which also shows the weights to all
    highest = max;
    for (int d = thread; d < head_dim; d += kThreads) {
      float value = __fmul_rn(mixed[d], rescale);
#pragma unroll 8
      for (int k = 0; k < count; ++k) value = fmaf(weights[k], a.values[offsets[k] + d], value);
      mixed[d] = value;
    }
  }
  const int64_t piece = head * sums.most_splits + split;
  for (int d = thread; d < head_dim; d += kThreads) {
    if (splits == 1) {
      a.out[head * head_dim + d] = __fmul_rn(mixed[d], 1.0F / sum);
    } else {
      sums.mixed[piece * head_dim + d] = mixed[d];
    }
  }
  if (thread == 0 && splits > 1) sums.stats[piece] = {highest, sum};
}

}  // namespace

void run_attention_any(const Gpu& gpu, const PagedAttention& a, const SplitSums* sums) {
  const int64_t blocks = int64_t{a.rows} * a.heads * (sums != nullptr ? sums->most_splits : 1);
  const size_t shared = 2 * static_cast<size_t>(a.head_dim) * sizeof(float);
  if (shared > 40 * 1024) {
    cudaFuncSetAttribute(attend_any, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
  }
  attend_any<<<static_cast<unsigned>(blocks), kThreads, shared, gpu.stream>>>(
      a, sums != nullptr ? *sums : SplitSums(), sums != nullptr);
}

}  // namespace ingot::cuda
