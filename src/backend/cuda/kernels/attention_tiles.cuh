// Tiles of a step's queries, numbered through its sequences.
#pragma once

#include "backend/cuda/kernels/attention_rows.cuh"

namespace ingot::cuda {

/// Queries of one sequence and key head, which are numbered row by row and in a row head by head of the key
/// head's group.
struct QueryTile {
  int sequence;  // -1: none
  int first;     // query
  int queries;   // of the sequence
  int row;       // the sequence's first
  int position;  // of that row
};

/// The tile of this number, found by one warp and shown to all of its lanes.
__device__ inline void find_tile_in_warp(const PagedAttention& a, int group, int tile_queries, int tile,
                                         QueryTile& shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (lane == 0) shared.sequence = -1;
  __syncwarp();
  int before = 0;  // tiles of the sequences up to here
  for (int s = lane; s - lane < a.sequences && before <= tile; s += kWarp) {
    const int row = s < a.sequences ? a.seq_start[s] : 0;
    const int rows = s < a.sequences ? a.seq_start[s + 1] - row : 0;
    const int tiles = (rows * group + tile_queries - 1) / tile_queries;
    int end = tiles;
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const int add = __shfl_up_sync(0xffffffff, end, step);
      if (lane >= step) end += add;
    }
    end += before;
    if (end - tiles <= tile && tile < end) {
      shared = {.sequence = s,
                .first = (tile - (end - tiles)) * tile_queries,
                .queries = rows * group,
                .row = row,
                .position = a.context_len[s] - rows};
    }
    before = __shfl_sync(0xffffffff, end, kWarp - 1);
  }
  __syncwarp();
}

/// The same, found by the block's first warp and shown to all threads.
__device__ inline void find_tile(const PagedAttention& a, int group, int tile_queries, int tile,
                                 QueryTile& shared) {
  if (threadIdx.x < kWarp) find_tile_in_warp(a, group, tile_queries, tile, shared);
  __syncthreads();
}

}  // namespace ingot::cuda
