// The end of a tile whose K a cluster's blocks have shared out: each finishes what is its own from the sums
// of all.
#pragma once

#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_tiles.cuh"

namespace ingot::cuda {

/// The blocks of a cluster: one for each group of slices.
inline constexpr int kLinearCluster = kSlices / kSliceGroup;

/// Adds up a lane's sums of all blocks, first to last, and writes the outputs: of two rows from `first_row`
/// on, two outputs or one gated. `sums`: this block's, which the others have at the same address. `half`: of
/// the tile.
__device__ __forceinline__ void finish_fragment(const SkinnyArguments& a, const Tile& tile,
                                                const float4* sums, int half, int first_row) {
  const SkinnyLinear& linear = a.linear;
  const bool gated = linear.epilogue.gated;
  const uint32_t at = shared_address(sums);
  float4 sum = load_of_rank(at, 0);
#pragma unroll
  for (int other = 1; other < kLinearCluster; ++other) {
    const float4 more = load_of_rank(at, other);
    sum = {sum.x + more.x, sum.y + more.y, sum.z + more.z, sum.w + more.w};
  }
  const int output = (gated ? half / 2 : half) * kPieceRows + static_cast<int>(threadIdx.x) % kWarp / 4;
  const int outputs = linear.parts[tile.part].outputs - tile.first_output;
  for (int r = 0; r < 2 && first_row + r < linear.rows; ++r) {
    const int row = first_row + r;
    const float row_scale = linear.row_scales == nullptr ? 1.0F : linear.row_scales[row];
    const float low = r == 0 ? sum.x : sum.y;
    const float high = r == 0 ? sum.z : sum.w;
    if (output < outputs) write_output(a, tile, output, row, row_scale, low, high);
    if (!gated && output + kPieceRows < outputs)
      write_output(a, tile, output + kPieceRows, row, row_scale, high, 0);
  }
}

}  // namespace ingot::cuda
