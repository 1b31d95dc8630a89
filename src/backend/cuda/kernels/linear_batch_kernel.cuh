// The kernel of linear_batch.h. A cluster of four blocks computes tiles of weight rows for up to 64 rows of
// inputs, each block a fourth of K: one group of slices. One warp of a block has the copy engine fill a ring
// of stages in shared memory, each with 64 values of the tile's weight rows and of the inputs; the ring
// reaches across tiles, and its first weights are asked for while the kernel ahead is still running. A
// warpgroup for each 64 weight rows multiplies what is there, slice by slice from zero, and adds the slices'
// sums as they come. Then the blocks send each other the groups' sums: each finishes a fourth of the tile's
// outputs.
//
// The sums of a slice are those of a chain of m16n8k16 (linear_fragments.cuh): instructions of warpgroups
// give the same bits for the same sixteen values of k.
#pragma once

#include <cuda.h>

#include <type_traits>

#include "backend/cuda/kernels/cluster_sums.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/linear_tiles.cuh"
#include "backend/cuda/kernels/tensor_copies.cuh"
#include "backend/cuda/kernels/warpgroup_mma.cuh"

namespace ingot::cuda {

inline constexpr int kBatchCluster = kSlices / kSliceGroup;
inline constexpr int kBatchDepth = 64;  // values of a row in a stage: 128 bytes
inline constexpr int kHalfOutputs = kGroupOutputs / 2;

/// How a launch cuts up the weight rows. A tile may be lower than what the warpgroups multiply: what they
/// have beyond it is not used.
struct BatchHeights {
  int outputs;      // of a tile
  int rows;         // of weights that are copied for a tile
  int stage_bytes;  // weights and inputs
  int stages;
};

struct BatchArguments {
  CUtensorMap x;
  CUtensorMap weights[kMostLinearParts];  // of a gated pair: both
  SkinnyArguments skinny;
  BatchHeights heights;
};

/// kGroups: of 64 weight rows. kColumns: rows of inputs.
template <int kGroups_, int kColumns_>
struct BatchTile {
  static constexpr int kGroups = kGroups_;
  static constexpr int kColumns = kColumns_;
  static constexpr int kMultiplying = kGroups * kGroupThreads;  // threads
  static constexpr int kThreads = kMultiplying + kWarp;
  static constexpr int kInputBytes = kColumns * kBatchDepth * 2;  // of a stage
  // Sums of a rank's outputs: of each rank a float4 of four rows and one output, of each lane, …
  static constexpr int kFours = kColumns / 16;  // … sixteen rows, …
  static constexpr int kSources = 2 * kGroups;  // … eight outputs of the lower and upper half of each group
  static constexpr int kItems = kSources * kFours * kWarp;  // that a rank finishes
  static constexpr int kItemsOfThread = (kItems + kMultiplying - 1) / kMultiplying;
  static constexpr int kRankBytes = kItems * 16;
  static constexpr int kSumsBytes = kBatchCluster * kRankBytes;
  static constexpr int kBoxOfGroup = kGroupOutputs * kBatchDepth * 2;
  static constexpr int kMostStages = 24;
  static constexpr int kSharedBytes = (227 << 10) - 512;  // the barriers have the rest
  // Behind the ring lie the sums, and what warpgroups read behind a low tile's weights.
  static constexpr int kBehindBytes = kSumsBytes < kBoxOfGroup ? kBoxOfGroup : kSumsBytes;
  static constexpr int kRingBytes = (kSharedBytes - kBehindBytes - 1024) / 1024 * 1024;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// The barriers and stages of a block.
template <class T>
struct BatchShared {
  uint32_t sums;
  uint32_t stages;
  uint32_t barriers;
  int stage_bytes;

  __device__ uint32_t stage(int i) const { return stages + static_cast<uint32_t>(i * stage_bytes); }
  __device__ uint32_t weights(int i) const { return stage(i) + T::kInputBytes; }
  __device__ uint32_t full(int i) const { return barriers + static_cast<uint32_t>(i * 8); }
  __device__ uint32_t free(int i) const { return barriers + static_cast<uint32_t>((T::kMostStages + i) * 8); }
  __device__ uint32_t sums_full() const { return barriers + T::kMostStages * 16; }
  __device__ uint32_t sums_free() const { return barriers + T::kMostStages * 16 + 8; }
};

/// Calls stage(tile, k) for the stages of a block in the order in which they are copied and multiplied, until
/// it returns false. A slice's last stage may reach into the next slice.
template <class Stage>
__device__ __forceinline__ void for_each_stage(int64_t in, int rank, int first_tile, int tiles,
                                               int tile_stride, const Stage& stage) {
  for (int tile = first_tile; tile < tiles; tile += tile_stride) {
    for (int i = 0; i < kSliceGroup; ++i) {
      const Slice slice = slice_of(in, rank * kSliceGroup + i);
      for (int step = 0; step < slice.steps; step += 2) {
        if (!stage(tile, (slice.begin + step) * kStep)) return;
      }
    }
  }
}

/// One thread asks for all stages of its block.
template <class T>
__device__ __forceinline__ void copy_stages(const BatchArguments& a, const BatchShared<T>& shared, int rank,
                                            int first_tile, int tiles, int tile_stride) {
  const SkinnyLinear& linear = a.skinny.linear;
  const bool gated = linear.epilogue.gated;
  const uint64_t policy = weights_policy(a.skinny.is_read_once);
  const BatchHeights& heights = a.heights;
  const auto copy_weights_of = [&](int i, int tile_number, int k) {
    expect_bytes(shared.full(i), heights.rows * kBatchDepth * 2 + T::kInputBytes);
    const Tile tile = tile_at(a.skinny, tile_number, heights.outputs);
    if (!gated) {
      copy_box_once(shared.weights(i), a.weights[tile.part], shared.full(i), k, tile.first_output, policy);
      return;
    }
#pragma unroll
    for (int h = 0; h < 2 * T::kGroups; ++h)  // the halves of each group are one factor's and the other's
      copy_box_once(shared.weights(i) + static_cast<uint32_t>(h * kHalfOutputs * kBatchDepth * 2),
                    a.weights[h % 2], shared.full(i), k, tile.first_output + h / 2 * kHalfOutputs, policy);
  };
  prefetch_map(a.x);
  prefetch_map(a.weights[0]);
  // Nobody writes weights: the first are on their way before the inputs are there.
  int ahead = 0;
  for_each_stage(linear.in, rank, first_tile, tiles, tile_stride, [&](int tile, int k) {
    copy_weights_of(ahead, tile, k);
    return ++ahead < heights.stages;
  });
  wait_for_inputs();
  int stage = 0;
  uint32_t parity = 1;  // all are free at first
  int left_ahead = ahead;
  for_each_stage(linear.in, rank, first_tile, tiles, tile_stride, [&](int tile, int k) {
    if (left_ahead > 0) {
      --left_ahead;
    } else {
      wait_barrier(shared.free(stage), parity);
      copy_weights_of(stage, tile, k);
    }
    copy_box(shared.stage(stage), a.x, shared.full(stage), k, 0);
    stage = stage + 1 == heights.stages ? 0 : stage + 1;
    if (stage == 0) parity ^= 1;
    return true;
  });
}

/// Sends the sums of this thread to the ranks that finish them: of eight outputs each, a rank has those from
/// 8 * rank on of both halves of each group.
template <class T>
__device__ __forceinline__ void send_sums(const BatchShared<T>& shared, int rank,
                                          const float (&sums)[T::kColumns / 2]) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int source = warp / 2;  // group * 2 + half
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const uint32_t to =
      shared.sums + static_cast<uint32_t>(rank * T::kRankBytes + (source * T::kFours * kWarp + lane) * 16);
#pragma unroll
  for (int high = 0; high < 2; ++high) {
    const int receiver = warp % 2 * 2 + high;
    const uint32_t remote = address_of_rank(to, receiver);
    const uint32_t barrier = address_of_rank(shared.sums_full(), receiver);
#pragma unroll
    for (int j = 0; j < T::kFours; ++j) {
      const float* four = sums + 8 * j + 2 * high;
      send_four(remote + static_cast<uint32_t>(j * kWarp * 16), barrier, four[0], four[1], four[4], four[5]);
    }
  }
}

/// The sums of all groups, first to last, of four rows and one output.
template <class T>
__device__ __forceinline__ float4 add_groups(const char* sums, int four) {
  const auto of_rank = [&](int rank) {
    return *reinterpret_cast<const float4*>(sums + rank * T::kRankBytes + four * 16);
  };
  float4 sum = of_rank(0);
#pragma unroll
  for (int rank = 1; rank < kBatchCluster; ++rank) {
    const float4 more = of_rank(rank);
    sum = {sum.x + more.x, sum.y + more.y, sum.z + more.z, sum.w + more.w};
  }
  return sum;
}

/// Four rows of an output that a thread finishes.
struct BatchItem {
  int output = 0;  // of the tile
  int first_row = 0;
  bool is_wanted = false;
  float residual[4] = {};
  float scales[4] = {1, 1, 1, 1};

  __device__ int row(int r) const { return first_row + r % 2 + r / 2 * 8; }
};

/// What thread item i of this rank has to do, and what it needs to do it: asked for before the sums are
/// there.
template <class T>
__device__ __forceinline__ BatchItem item_of(const SkinnyArguments& a, const Tile& tile, int tile_outputs,
                                             int rank, int i) {
  const SkinnyLinear& linear = a.linear;
  const int64_t outputs = linear.parts[tile.part].outputs;
  const int source = i / (T::kFours * kWarp);
  const int lane = i % kWarp;
  BatchItem item;
  item.output = source * kHalfOutputs + rank * kPieceRows + lane / 4;
  item.first_row = i / kWarp % T::kFours * 16 + lane % 4 * 2;
  item.is_wanted = i < (linear.epilogue.gated ? T::kItems / 2 : T::kItems) && item.output < tile_outputs &&
                   tile.first_output + item.output < outputs;
  if (!item.is_wanted) return item;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const int row = item.row(r);
    if (row >= linear.rows) continue;
    if (linear.row_scales != nullptr) item.scales[r] = linear.row_scales[row];
    if (linear.epilogue.residual != nullptr)
      item.residual[r] = linear.epilogue.residual[row * outputs + tile.first_output + item.output];
  }
  return item;
}

/// Finishes and writes it.
template <class T>
__device__ __forceinline__ void finish_item(const SkinnyArguments& a, const Tile& tile, const BatchItem& item,
                                            const char* sums, int i) {
  if (!item.is_wanted) return;
  const SkinnyLinear& linear = a.linear;
  const bool gated = linear.epilogue.gated;
  constexpr int kSourceFours = T::kFours * kWarp;
  const int four = i % kSourceFours;
  const float4 sum = add_groups<T>(sums, gated ? 2 * (i - four) + four : i);
  const float4 up = gated ? add_groups<T>(sums, 2 * (i - four) + kSourceFours + four) : float4{};
  const float low[4] = {sum.x, sum.y, sum.z, sum.w};
  const float high[4] = {up.x, up.y, up.z, up.w};
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    if (item.row(r) < linear.rows)
      write_output(a, tile, item.output, item.row(r), item.scales[r], low[r], high[r], item.residual[r]);
  }
}

/// A warpgroup multiplies and finishes its part of the tiles.
template <DType kType, class T>
__device__ __forceinline__ void multiply_stages(const BatchArguments& a, const BatchShared<T>& shared,
                                                const char* received, int rank, int group, int first_tile,
                                                int tiles, int tile_stride) {
  const SkinnyLinear& linear = a.skinny.linear;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  wait_for_inputs();
  int stage = 0;
  uint32_t parity = 0;
  uint32_t tile_parity = 0;
  for (int tile = first_tile; tile < tiles; tile += tile_stride, tile_parity ^= 1) {
    float total[T::kColumns / 2];
#pragma unroll 1
    for (int i = 0; i < kSliceGroup; ++i) {
      const Slice slice = slice_of(linear.in, rank * kSliceGroup + i);
      float sums[T::kColumns / 2] = {};
      const auto multiply_stage = [&](auto products) {
        wait_barrier(shared.full(stage), parity);
        const uint64_t weights = tile_descriptor(
            shared.weights(stage) + static_cast<uint32_t>(group * kGroupOutputs * kBatchDepth * 2));
        const uint64_t rows = tile_descriptor(shared.stage(stage));
        begin_products();
#pragma unroll
        for (int product = 0; product < products.value; ++product)
          multiply_tiles<kType, T::kColumns>(sums, weights + kStepOfTile * product,
                                             rows + kStepOfTile * product, 1);
        commit_products();
        wait_for_products<0>();
        if (lane == 0) arrive(shared.free(stage));
        stage = stage + 1 == a.heights.stages ? 0 : stage + 1;
        if (stage == 0) parity ^= 1;
      };
#pragma unroll 1
      for (int step = 0; step + 1 < slice.steps; step += 2)
        multiply_stage(std::integral_constant<int, kBatchDepth / 16>());
      if (slice.steps % 2 != 0) multiply_stage(std::integral_constant<int, kStep / 16>());
#pragma unroll
      for (int c = 0; c < T::kColumns / 2; ++c) total[c] = i == 0 ? sums[c] : total[c] + sums[c];
    }

    const Tile place = tile_at(a.skinny, tile, a.heights.outputs);
    const int thread = static_cast<int>(threadIdx.x);
    BatchItem items[T::kItemsOfThread];
#pragma unroll
    for (int i = 0; i < T::kItemsOfThread; ++i)
      items[i] = item_of<T>(a.skinny, place, a.heights.outputs, rank, thread + i * T::kMultiplying);
    // Nobody sends before the receivers have begun, and have read what they had of the last tile.
    if (tile == first_tile) {
      wait_for_cluster();
    } else {
      wait_barrier_of_cluster(shared.sums_free(), tile_parity ^ 1);
    }
    if (thread == 0) expect_bytes(shared.sums_full(), T::kSumsBytes);
    send_sums<T>(shared, rank, total);
    wait_barrier_of_cluster(shared.sums_full(), tile_parity);
#pragma unroll
    for (int i = 0; i < T::kItemsOfThread; ++i)
      finish_item<T>(a.skinny, place, items[i], received, thread + i * T::kMultiplying);
    // Nobody asks after the last tile, and a block that has all its sums may end.
    if (tile + tile_stride < tiles) {
      __syncwarp();
      if (lane < kBatchCluster) arrive_for_cluster(address_of_rank(shared.sums_free(), lane));
    }
  }
}

#endif

template <DType kType, class T>
__global__ void __launch_bounds__(T::kThreads, 1) linear_batch(const __grid_constant__ BatchArguments a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  __shared__ uint64_t barriers[2 * T::kMostStages + 2];  // also what tells that there is code
  extern __shared__ char dynamic[];
  const uint32_t dynamic_at = shared_address(dynamic);
  // Sums last: of the last stage, too, warpgroups multiply what lies behind a low tile's weights.
  const uint32_t stages = (dynamic_at + 1023) & ~1023U;  // swizzles repeat there
  const BatchShared<T> shared{.sums = stages + T::kRingBytes,
                              .stages = stages,
                              .barriers = shared_address(barriers),
                              .stage_bytes = a.heights.stage_bytes};
  const int rank = rank_in_cluster();
  begin_next_kernel();
  if (threadIdx.x == 0) {
    for (int i = 0; i < a.heights.stages; ++i) {
      init_barrier(shared.full(i), 1);
      init_barrier(shared.free(i), T::kMultiplying / kWarp);
    }
    init_barrier(shared.sums_full(), 1);
    init_barrier(shared.sums_free(), kBatchCluster * T::kMultiplying / kWarp);
    fence_barriers();
  }
  __syncthreads();
  arrive_at_cluster();

  const int tiles = a.skinny.first_tile[a.skinny.linear.part_count];
  const int first_tile = static_cast<int>(blockIdx.x) / kBatchCluster;
  const int tile_stride = static_cast<int>(gridDim.x) / kBatchCluster;
  // The same for a warp, which the compiler sees this way: descriptors are made of it.
  const int group = __shfl_sync(0xffffffffU, static_cast<int>(threadIdx.x) / kGroupThreads, 0);
  if (group == T::kGroups) {
    if (is_elected()) copy_stages<T>(a, shared, rank, first_tile, tiles, tile_stride);
    __syncwarp();
    wait_for_inputs();
    wait_for_cluster();
  } else {
    multiply_stages<kType, T>(a, shared, dynamic + (shared.sums - dynamic_at), rank, group, first_tile, tiles,
                              tile_stride);
  }
#endif
}

}  // namespace ingot::cuda
