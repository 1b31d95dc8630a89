// The pieces of all rows' keys as a list: row by row, and in a row from its first key on. Blocks take from it
// what is there, whatever a step of this shape could have.
#pragma once

#include "backend/cuda/kernels/attention_rows.cuh"

namespace ingot::cuda {

struct AttentionPiece {
  int row;
  int split;
  AttentionRow place;
};

/// Scratch of find_piece() in shared memory.
template <int kThreads>
struct PieceSearch {
  alignas(16) int pieces[kThreads / kWarp];  // of a warp's sequences; read as vectors of nothing else
  AttentionPiece found;
};

/// The piece of this number, found by all threads of the block together; false beyond the last. The threads
/// have done with what was found before.
template <int kThreads>
__device__ bool find_piece(const PagedAttention& a, int number, PieceSearch<kThreads>& shared) {
  const int thread = static_cast<int>(threadIdx.x);
  int before = 0;  // pieces of the sequences up to here
  for (int base = 0; base < a.sequences; base += kThreads) {
    const int s = base + thread;
    const int begin = s < a.sequences ? a.seq_start[s] : 0;
    const int end = s < a.sequences ? a.seq_start[s + 1] : 0;
    const int context = s < a.sequences ? a.context_len[s] : 0;
    const auto place_of = [&](int row) {
      const int position = context - (end - row);
      return AttentionRow{s, position, first_key(a, position)};
    };
    int own = 0;
    for (int row = begin; row < end; ++row) own += splits_of(place_of(row).keys());
    int sum = own;  // with the lanes before
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const int add = __shfl_up_sync(0xffffffff, sum, step);
      if (thread % kWarp >= step) sum += add;
    }
    if (thread % kWarp == kWarp - 1) shared.pieces[thread / kWarp] = sum;
    __syncthreads();
    int first = before + sum - own;
#pragma unroll
    for (int warp = 0; warp < kThreads / kWarp; ++warp) {
      if (warp < thread / kWarp) first += shared.pieces[warp];
      before += shared.pieces[warp];
    }
    if (first <= number && number < first + own) {
      int row = begin;
      int split = number - first;
      for (int splits = splits_of(place_of(row).keys()); split >= splits;
           splits = splits_of(place_of(row).keys())) {
        split -= splits;
        ++row;
      }
      shared.found = {row, split, place_of(row)};
    }
    __syncthreads();
    if (number < before) return true;
  }
  return false;
}

}  // namespace ingot::cuda
