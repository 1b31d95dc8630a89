// Where attention's rows and their keys lie: the sequence of a row, the pages of a position.
#pragma once

#include <cuda_bf16.h>

#include <climits>

#include "backend/cuda/kernels/attention.h"

namespace ingot::cuda {

/// A query's place, and the keys that it sees: positions first … position.
struct AttentionRow {
  int sequence;
  int position;
  int first;

  __device__ int keys() const { return position + 1 - first; }
};

__device__ inline int first_key(const PagedAttention& a, int position) {
  return a.window > 0 && position >= a.window ? position - a.window + 1 : 0;
}

/// The block's row, found by all of its threads together; false for a row of no sequence. `shared` holds the
/// result.
__device__ inline bool find_row(const PagedAttention& a, int row, AttentionRow& shared) {
  bool found = false;
  for (int s = static_cast<int>(threadIdx.x); s < a.sequences; s += static_cast<int>(blockDim.x)) {
    const int begin = a.seq_start[s];
    const int end = a.seq_start[s + 1];
    const int context = a.context_len[s];
    if (begin <= row && row < end) {
      const int position = context - (end - row);
      shared = {s, position, first_key(a, position)};
      found = true;
    }
  }
  return __syncthreads_or(found) != 0;
}

/// Writes output values, and what they round to where that is wanted. `at`: of the output.
__device__ __forceinline__ void put_output(const PagedAttention& a, int64_t at, float value) {
  a.out[at] = value;
  if (a.out_bf16 != nullptr) a.out_bf16[at] = __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
__device__ __forceinline__ void put_output(const PagedAttention& a, int64_t at, const float4& values) {
  *reinterpret_cast<float4*>(a.out + at) = values;
  if (a.out_bf16 == nullptr) return;
  const __nv_bfloat162 low = __floats2bfloat162_rn(values.x, values.y);
  const __nv_bfloat162 high = __floats2bfloat162_rn(values.z, values.w);
  *reinterpret_cast<uint2*>(a.out_bf16 + at) = {*reinterpret_cast<const unsigned*>(&low),
                                                *reinterpret_cast<const unsigned*>(&high)};
}

/// The rows before those that pad the step.
__device__ inline int rows_of_sequences(const PagedAttention& a) {
  return a.seq_start[a.sequences];
}
/// Rows that pad the step, `first` and those behind it, become zero, by all threads of the grid.
__device__ inline void clear_padding(const PagedAttention& a, int first) {
  const int64_t row = static_cast<int64_t>(a.heads) * a.head_dim;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t own = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
#pragma unroll 1
  for (int64_t i = first * row + own; i < a.rows * row; i += stride) put_output(a, i, 0.0F);
}

/// Which row of the cache, seen as rows of head_dim, is the key (or value) of a position.
__device__ inline uint32_t cache_row(const PagedAttention& a, const int32_t* pages, int kv_head,
                                     int position) {
  int page;
  int in_page;
  if (a.page_shift >= 0) {
    page = position >> a.page_shift;
    in_page = position & (a.page_tokens - 1);
  } else {
    page = position / a.page_tokens;
    in_page = position - page * a.page_tokens;
  }
  return static_cast<uint32_t>((__ldg(pages + page) * a.kv_heads + kv_head) * a.page_tokens + in_page);
}

/// Floats from the cache's start to the key (or value) of a position.
__device__ inline int64_t cache_offset(const PagedAttention& a, const int32_t* pages, int kv_head,
                                       int position) {
  return static_cast<int64_t>(cache_row(a, pages, kv_head, position)) * a.head_dim;
}

}  // namespace ingot::cuda
