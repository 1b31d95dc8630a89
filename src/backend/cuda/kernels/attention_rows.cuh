// Where attention's rows and their keys lie: the sequence of a row, the pages of a position.
#pragma once

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

/// Rows that pad the step become zero, by all threads of the grid.
__device__ inline void clear_padding(const PagedAttention& a) {
  const int64_t row = static_cast<int64_t>(a.heads) * a.head_dim;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t own = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
#pragma unroll 1
  for (int64_t i = a.seq_start[a.sequences] * row + own; i < a.rows * row; i += stride) a.out[i] = 0;
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
