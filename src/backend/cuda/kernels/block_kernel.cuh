// The kernel of products with blocks.
//
// A block of threads has 16 weight rows or a few times 16 (matrix instructions' A) and up to 32 rows of
// activations (their columns). A row's sum is cut into slices, of whose chunks the sums follow one another;
// each slice has a warp of its own with two stages in shared memory, so that it computes on one chunk while
// the next one comes, and never waits for other warps but at the end. Where there are more than 8 rows of
// activations, several warps with different weight rows form a team that shares the stage, since then the
// activations are what takes the most bytes.
//
// What a sum's bits depend on are the format, `in` and the number of tiles: the slices follow from these, and
// how they are added up. How many warps do it does not matter, so that is chosen for speed.
#pragma once

#include "backend/cuda/kernels/block_layout.cuh"
#include "backend/cuda/kernels/block_stage.cuh"
#include "backend/cuda/kernels/block_tiles.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/team_barriers.cuh"

namespace ingot::cuda {

/// Warps of a multiprocessor that the registers are to suffice for, so that a weight's blocks of threads all
/// fit at once.
inline constexpr int kResidentWarps = 28;

extern __shared__ uint4 shared_stages[];

/// Sums of a team's rows and columns, of which this thread holds some, in shared memory: [column, row].
template <int kTiles>
__device__ inline void put_sums(const float (&sums)[kTiles][4], int first_row, int columns, int row_stride,
                                float* to) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = n * kTileColumns + lane % 4 * 2 + i % 2;
      if (column < columns) to[column * row_stride + first_row + lane / 4 + i / 2 * 8] = sums[n][i];
    }
  }
}

/// kColumns: the most columns. kShares: the warps of a team share a stage; else each warp is one. kAlignment:
/// what row_bytes are a multiple of; if at least 4, where the words of a chunk lie is known beforehand.
template <class Blocks, int kColumns, bool kShares, int kAlignment>
__global__ void __launch_bounds__(kShares ? kMostWarps* kWarp : kResidentWarps* kWarp)
    multiply_blocks(const BlockArguments arguments) {
  using Shape = StageShape<Blocks>;
  const BlockParts& products = arguments.products;
  const BlockLayout& layout = arguments.layout;
  constexpr int kTiles = (kColumns + kTileColumns - 1) / kTileColumns;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int team_warps = kShares ? layout.team_warps : 1;
  const int team = warp / team_warps;
  const int own_row = warp % team_warps * kWarpRows;  // of the team's
  const int team_threads = team_warps * kWarp;

  const int tile = static_cast<int>(blockIdx.x) / layout.column_blocks;
  int number = 0;
  while (number + 1 < products.count && tile >= products.parts[number + 1].first_tile) ++number;
  const BlockParts::Part& part = products.parts[number];
  const int64_t first_row = int64_t{tile - part.first_tile} * team_warps * kWarpRows;
  const int64_t first_column = int64_t{static_cast<int>(blockIdx.x) % layout.column_blocks} * kColumns;
  const int columns = static_cast<int>(min(products.rows - first_column, int64_t{kColumns}));

  unsigned char* const weights = reinterpret_cast<unsigned char*>(shared_stages) + team * layout.team_bytes;
  unsigned char* const activations = weights + kStages * layout.stage_bytes;
  const Stage<Blocks, kAlignment> stage(products, part, layout, first_row, first_column, columns,
                                        static_cast<int>(threadIdx.x) - team * team_threads, team_threads);
  const auto wait_for_others = [&] {
    if constexpr (kShares) {
      wait_for_team(1 + team, team_threads);
    } else {
      __syncwarp();
    }
  };
  const auto first_chunk = [&](int slice) { return layout.chunks * slice / layout.slices; };
  const int first_slice = team * layout.team_slices;
  const int last_chunk = first_chunk(first_slice + layout.team_slices);

  // Weights do not wait for the kernel ahead, which is where the activations come from.
  begin_next_kernel();
  const int begin_chunk = first_chunk(first_slice);
#pragma unroll
  for (int i = 0; i < kStages; ++i) {
    if (begin_chunk + i < last_chunk) stage.begin_weights(begin_chunk + i, weights + i * layout.stage_bytes);
  }
  wait_for_inputs();
  for (int i = 0; i < layout.column_stages; ++i) {
    if (begin_chunk + i < last_chunk)
      stage.begin_columns(begin_chunk + i, activations + i * layout.column_bytes);
  }
#pragma unroll
  for (int i = 0; i < kStages; ++i) commit_copies();  // all of it with the first stage
  int coming = begin_chunk + kStages;
  // Columns that are not there are read as others that are; nobody reads what comes of them.
  int value_at[kTiles];
  int scale_at[kTiles];
  int sum_at[kTiles];
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
    const int column = min(n * kTileColumns + lane / 4, columns - 1);
    const int pair = min(n * 4 + lane % 4, (columns - 1) / 2);
    value_at[n] = column * Shape::kColumnBytes + lane % 4 * Blocks::kPartBytes;
    scale_at[n] = layout.scales_at + pair * 8;
    sum_at[n] = layout.sums_at + (lane % 4 * layout.column_stride + column) * 4;
  }

  float total[kTiles][4] = {};
  int buffer = 0;         // stage of the weights
  int column_buffer = 0;  // of the activations
  for (int i = 0; i < layout.team_slices; ++i) {
    float sums[kTiles][4] = {};
    const int end = first_chunk(first_slice + i + 1);
    for (int chunk = first_chunk(first_slice + i); chunk < end; ++chunk) {
      wait_for_copies<kStages - 1>();
      wait_for_others();
      unsigned char* const here = weights + buffer * layout.stage_bytes;
      unsigned char* const columns_here = activations + column_buffer * layout.column_bytes;
      ChunkColumns<kTiles> x;
      x.group_step = layout.column_stride / 2;
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        x.values[n] = reinterpret_cast<const unsigned*>(columns_here + value_at[n]);
        x.scales[n] = reinterpret_cast<const float2*>(columns_here + scale_at[n]);
        x.sums[n] = reinterpret_cast<const float*>(columns_here + sum_at[n]);
      }
      const auto* words = reinterpret_cast<const unsigned*>(here);
      const int row = stage.row_at(chunk, own_row + lane / 4);
      const int row_8 = stage.row_at(chunk, own_row + lane / 4 + 8);
      const auto add = [&](int rest, int rest_8) {
        const RowPieces of = {{words + (row >> 2), rest}, {words + (row_8 >> 2), rest_8}};
        Blocks::template add<(kColumns > 1)>(of, stage.groups(chunk), x, sums);
      };
      if constexpr (kAlignment < 4) {
        add(row & 3, row_8 & 3);
      } else if (Blocks::kChunkBytes % 4 == 0 || (row & 3) == 0) {
        add(0, 0);
      } else {
        add(2, 2);
      }
      wait_for_others();
      if (coming < last_chunk) {
        stage.begin_weights(coming, here);
        if (!layout.columns_stay) stage.begin_columns(coming, columns_here);
      }
      commit_copies();
      ++coming;
      if (++buffer == kStages) buffer = 0;
      if (++column_buffer == layout.column_stages) column_buffer = 0;
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int j = 0; j < 4; ++j) total[n][j] = i == 0 ? sums[n][j] : total[n][j] + sums[n][j];
    }
  }

  wait_for_copies<0>();
  __syncthreads();  // the stages are no longer needed: the teams' sums take their place
  auto* const all = reinterpret_cast<float*>(shared_stages);
  const int rows = team_warps * kWarpRows;
  const int row_stride = rows + 4;
  const int team_stride = columns * row_stride;
  put_sums<kTiles>(total, own_row, columns, row_stride, all + team * team_stride);
  __syncthreads();
  const int together = layout.slices / layout.team_slices / min(layout.teams, kLastSlices);
  for (int i = static_cast<int>(threadIdx.x); i < columns * rows; i += static_cast<int>(blockDim.x)) {
    const int row = i % rows;
    const int column = i / rows;
    if (first_row + row >= part.out) continue;
    const float* of_team = all + column * row_stride + row;
    float sum = 0;
    for (int next = 0; next < layout.teams; next += together) {
      float slice = of_team[next * team_stride];
      for (int j = 1; j < together; ++j) slice += of_team[(next + j) * team_stride];
      sum = next == 0 ? slice : sum + slice;
    }
    part.sums[(first_column + column) * part.stride + first_row + row] = sum;
  }
}

}  // namespace ingot::cuda
