// The kernel of linears of one row with weights in blocks.
//
// Each block of threads has a run of tiles of 16 outputs, or of 16 pairs of gated ones, one block a
// multiprocessor. A row's sum is cut into slices as block_layout.h says; as many warps as a tile has slices
// are a team, and teams take the run's tiles in turn. Weights come through a ring of shared memory that
// belongs to the warp and reaches across tiles. The whole row lies in shared memory, where the block has
// normalised and rounded it itself.
#pragma once

#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/block_row.h"
#include "backend/cuda/kernels/block_row_stage.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/linear_tile_heads.cuh"

namespace ingot::cuda {

inline constexpr int kBlockRowThreads = kMostWarps * kWarp;
static_assert(kBlockRowThreads == kRowThreads);

struct BlockRowArguments {
  SkinnyArguments skinny;  // tiles of kWarpRows outputs or pairs
  RowPreparation row;
  LinearHeads heads;  // of kernels that place them
  int row_bytes = 0;  // of the weights
  int chunks = 0;
  int slices[kMostLinearParts] = {};  // of each part
};

/// Shared memory: the rings, the partial sums of two tiles in turn, the row.
template <class Blocks>
struct BlockRowShape {
  static constexpr int kRing = 4;  // chunks of a warp
  static constexpr int kRingBytes = kMostWarps * kRing * RowChunk<Blocks>::kBytes;
  static constexpr int kPartials = 2 * kWarpRows;  // of a warp
  static constexpr int kFixedBytes = kRingBytes + 2 * kMostWarps * kPartials * 4;
  static int bytes(int64_t in) { return kFixedBytes + BlockRow<Blocks>::bytes(in); }
};

/// The row normalised and rounded, by the whole block. Ends with a barrier.
template <class Blocks>
__device__ void prepare_block_row(const RowPreparation& p, const BlockRow<Blocks>& row,
                                  RowPartials& partials) {
  constexpr int kKept = 2;
  const auto put = [&](int64_t i, const float4& y) {
    const Int8Four four = as_int8(y);
    if (i >= p.in) return;
    *reinterpret_cast<char4*>(row.values + i) = four.values;
    if (i % kGroup != 0) return;
    row.scales[i / kGroup] = {four.scale, 0};
    if constexpr (Blocks::kNeedsSums) row.sums[i / kGroup] = {four.sum, 0};
  };
  if (p.norm == LinearNorm::none || p.in > kKept * kRowStep) {
    wait_for_inputs();
    reduce_rows<true>(p, 0, 1, partials);
    const RowScale scale = scale_of_row(p, 0, partials);
    for_fours(p.in, [&](int64_t i) { put(i, normalised_four<true>(p, p.x, i, scale)); });
  } else {
    KeptRow<kKept> kept;
    kept.load_weights(p);
    wait_for_inputs();
    kept.load(p, p.x);
    kept.normalise(p, partials);
#pragma unroll
    for (int i = 0; i < kKept; ++i) put(kept.at(i), kept.y[i]);
  }
  // Groups that the last chunk lacks.
  const int groups = row.chunks(p.in) * StageShape<Blocks>::kGroups;
  for (int i = static_cast<int>(p.in / kGroup + threadIdx.x); i < groups; i += kBlockRowThreads) {
    row.scales[i] = {0, 0};
    if constexpr (Blocks::kNeedsSums) row.sums[i] = {0, 0};
  }
  __syncthreads();
}

/// The run of tiles of this block that are of a part.
struct TileRun {
  int begin;
  int end;
};
__device__ inline TileRun run_of_part(const SkinnyArguments& a, int part) {
  const int64_t tiles = a.first_tile[a.linear.part_count];
  const int begin = static_cast<int>(tiles * blockIdx.x / gridDim.x);
  const int end = static_cast<int>(tiles * (blockIdx.x + 1) / gridDim.x);
  return {max(begin, a.first_tile[part]), min(end, a.first_tile[part + 1])};
}

/// A warp's chunks of weights in the order in which it multiplies them.
template <class Blocks, bool kPlaces>
class ChunkWalk {
 public:
  __device__ explicit ChunkWalk(const BlockRowArguments& a)
      : a_(a), chunk_copies_(a.row_bytes), groups_(static_cast<int>(a.skinny.linear.in / kGroup)) {
    enter(0);
  }
  /// Begins to copy the next chunk, if there is one.
  __device__ void read(unsigned char* stage) {
    if (part_ < a_.skinny.linear.part_count) {
      const int groups = min(StageShape<Blocks>::kGroups, groups_ - chunk_ * StageShape<Blocks>::kGroups);
      chunk_copies_.begin(tile_, apart_, rows_, chunk_, groups, stage);
      if (++chunk_ == last_chunk_) next_rows();
    }
    commit_copies();
  }

 private:
  __device__ void enter(int part) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    for (part_ = part; part_ < a_.skinny.linear.part_count; ++part_) {
      const int slices = a_.slices[part_];
      const TileRun run = run_of_part(a_.skinny, part_);
      number_ = run.begin + warp / slices;
      end_ = run.end;
      if (number_ >= end_) continue;
      first_chunk_ = a_.chunks * (warp % slices) / slices;
      last_chunk_ = a_.chunks * (warp % slices + 1) / slices;
      is_up_ = false;
      return aim();
    }
  }
  __device__ void next_rows() {
    if (a_.skinny.linear.epilogue.gated && !is_up_) {
      is_up_ = true;
      return aim();
    }
    is_up_ = false;
    number_ += kMostWarps / a_.slices[part_];
    if (number_ >= end_) return enter(part_ + 1);
    aim();
  }
  __device__ void aim() {
    const SkinnyPart& part = a_.skinny.linear.parts[part_];
    const int output = (number_ - a_.skinny.first_tile[part_]) * kWarpRows;
    int64_t first = output;
    rows_ = min(kWarpRows, part.outputs - output);
    apart_ = 0;
    if constexpr (kPlaces) {
      const TileOfHead head = tile_of_head(a_.heads, {part_, output}, kWarpRows);
      if (head.is_halves) {
        first = head.first + head.own * (kWarpRows / 2);
        apart_ = (a_.heads.pairs - kWarpRows / 2) * a_.row_bytes;
      }
    }
    tile_ = static_cast<const char*>(is_up_ ? part.up : part.weight) + first * a_.row_bytes;
    chunk_ = first_chunk_;
  }

  const BlockRowArguments& a_;
  const RowChunk<Blocks> chunk_copies_;
  const int groups_;  // of a row
  int part_;
  int number_;  // of the tile
  int end_;
  bool is_up_;  // the second factor's weights
  int first_chunk_;
  int last_chunk_;
  int chunk_;
  const char* tile_;
  int64_t apart_;
  int rows_;
};

/// A tile's sum of one output, of all slices, in the order of run_block_product().
__device__ inline float sum_of_block_slices(const float* partials, int slices, int stride) {
  const int together = slices / min(slices, kLastSlices);
  float sum = 0;
  for (int next = 0; next < slices; next += together) {
    float slice = partials[next * stride];
    for (int j = 1; j < together; ++j) slice += partials[(next + j) * stride];
    sum = next == 0 ? slice : sum + slice;
  }
  return sum;
}

template <class Blocks, bool kPlaces>
__global__ void __launch_bounds__(kBlockRowThreads, 1)
    multiply_block_row(const __grid_constant__ BlockRowArguments a) {
  using S = BlockRowShape<Blocks>;
  using Chunk = RowChunk<Blocks>;
  extern __shared__ uint4 shared[];
  __shared__ RowPartials row_partials;
  const SkinnyArguments& skinny = a.skinny;
  const SkinnyLinear& linear = skinny.linear;
  const int halves = linear.epilogue.gated ? 2 : 1;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  auto* const dynamic = reinterpret_cast<unsigned char*>(shared);
  unsigned char* const ring = dynamic + warp * S::kRing * Chunk::kBytes;
  auto* const partials = reinterpret_cast<float*>(dynamic + S::kRingBytes);
  const BlockRow<Blocks> row(dynamic + S::kFixedBytes, linear.in);

  begin_next_kernel();
  // Nobody writes weights: the first are on their way before the row is there.
  ChunkWalk<Blocks, kPlaces> walk(a);
#pragma unroll 1
  for (int stage = 0; stage < S::kRing - 1; ++stage) walk.read(ring + stage * Chunk::kBytes);
  prepare_block_row<Blocks>(a.row, row, row_partials);

  int stage = 0;
  int turn = 0;
#pragma unroll 1
  for (int part = 0; part < linear.part_count; ++part) {
    const int slices = a.slices[part];
    const int team = warp / slices;
    const int first_chunk = a.chunks * (warp % slices) / slices;
    const int last_chunk = a.chunks * (warp % slices + 1) / slices;
    const TileRun run = run_of_part(skinny, part);
    if (part > 0) __syncthreads();  // other teams than before
#pragma unroll 1
    for (int tile = run.begin + team; tile < run.end; tile += kMostWarps / slices, turn ^= 1) {
      // Two sets of partial sums in turn: nobody writes one before the whole team has passed the barrier
      // after those who read it.
      float* const set = partials + turn * (kMostWarps * S::kPartials);
#pragma unroll 1
      for (int half = 0; half < halves; ++half) {
        float sums[1][4] = {};
#pragma unroll 1
        for (int chunk = first_chunk; chunk < last_chunk; ++chunk) {
          wait_for_copies<S::kRing - 2>();
          __syncwarp();  // the copies of all lanes are there; the stage before is read
          walk.read(ring + (stage == 0 ? S::kRing - 1 : stage - 1) * Chunk::kBytes);
          const auto* words = reinterpret_cast<const unsigned*>(ring + stage * Chunk::kBytes);
          const int at = lane / 4 * StageShape<Blocks>::kRowBytes + Chunk::shift(chunk);
          const int at_8 = at + kWarpRows / 2 * StageShape<Blocks>::kRowBytes;
          const int groups = StageShape<Blocks>::kGroups;
          const int left = static_cast<int>(linear.in / kGroup) - chunk * groups;
          const auto add = [&](int rest) {
            const RowPieces of = {{words + (at >> 2), rest}, {words + (at_8 >> 2), rest}};
            Blocks::template add<false>(of, min(groups, left), row.of(chunk), sums);
          };
          if (Blocks::kChunkBytes % 4 == 0 || (at & 3) == 0) {
            add(0);
          } else {
            add(2);
          }
          stage = stage + 1 == S::kRing ? 0 : stage + 1;
        }
        if (lane % 4 == 0) {  // all columns are the one row
          float* const own = set + warp * S::kPartials + half * kWarpRows + lane / 4;
          own[0] = sums[0][0];
          own[kWarpRows / 2] = sums[0][2];
        }
      }
      if (slices == 1) {
        __syncwarp();
      } else {
        wait_for_team(1 + team, slices * kWarp);
      }
      if (warp % slices != 0) continue;
      const int o = lane % kWarpRows;
      const float* const of_team = set + warp * S::kPartials + o;
      const float sum = sum_of_block_slices(of_team, slices, S::kPartials);
      const int output = (tile - skinny.first_tile[part]) * kWarpRows;
      if constexpr (kPlaces) {
        const TileOfHead head = tile_of_head(a.heads, {part, output}, kWarpRows);
        const int n = head.first + head.value(o, kWarpRows, a.heads.pairs);
        place_output(a.heads, head, lane, kWarpRows, biased(sum, 1, linear.parts[part].bias, n));
      } else {
        if (lane >= kWarpRows || output + lane >= linear.parts[part].outputs) continue;
        const float up = halves == 2 ? sum_of_block_slices(of_team + kWarpRows, slices, S::kPartials) : 0;
        write_output(skinny, {part, output}, lane, 0, 1, sum, up);
      }
    }
  }
  wait_for_copies<0>();
}

}  // namespace ingot::cuda
