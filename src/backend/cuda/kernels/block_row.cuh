// The kernel of linears of one row with weights in blocks.
//
// Each block of threads has a run of tiles of 16 outputs, or of 16 pairs of gated ones, one block a
// multiprocessor. A row's sum is cut into slices as block_layout.h says; as many warps as a tile has slices
// are a team, and teams take the run's tiles in turn. Weights come through a ring of shared memory that
// belongs to the warp and reaches across tiles. The whole row lies in shared memory, where the block has
// normalised and rounded it itself.
#pragma once

#include "backend/cuda/kernels/block_row.h"
#include "backend/cuda/kernels/block_row_prepare.cuh"
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
  int slice_bits[kMostLinearParts] = {};  // of each part: its slices are that power of two
};

/// Chunks of a warp's ring.
template <class Blocks>
constexpr int ring_of_block_row() {
  constexpr int kMostRingBytes = 184 << 10;
  constexpr int kMostChunks = kMostRingBytes / (kMostWarps * RowChunk<Blocks>::kBytes);
  return kMostChunks < 5 ? kMostChunks : 5;
}

/// Shared memory: the rings of kRing chunks, the partial sums of two tiles in turn, the row.
template <class Blocks, int kRing>
struct BlockRowShape {
  static_assert(kRing >= 2);
  static constexpr int kRingBytes = kMostWarps * kRing * RowChunk<Blocks>::kBytes;
  static constexpr int kPartials = 2 * kWarpRows;  // of a warp
  static constexpr int kFixedBytes = kRingBytes + 2 * kMostWarps * kPartials * 4;
  static int bytes(int64_t in) { return kFixedBytes + BlockRow<Blocks>::bytes(in); }
};

/// The run of tiles of this block that are of a part.
struct TileRun {
  int begin;
  int end;
};
__device__ inline TileRun run_of_part(const SkinnyArguments& a, int part) {
  const auto tiles = static_cast<unsigned>(a.first_tile[a.linear.part_count]);
  const auto begin = static_cast<int>(tiles * blockIdx.x / gridDim.x);
  const auto end = static_cast<int>(tiles * (blockIdx.x + 1) / gridDim.x);
  return {max(begin, a.first_tile[part]), min(end, a.first_tile[part + 1])};
}

/// A warp's chunks of weights in the order in which it multiplies them.
template <class Blocks, bool kPlaces>
class ChunkWalk {
 public:
  __device__ explicit ChunkWalk(const BlockRowArguments& a) : a_(a) { enter(0); }
  /// Begins to copy the next chunk, if there is one.
  __device__ void read(unsigned char* stage) {
    if (left_ > 0) {
      if constexpr (RowPieceShape<Blocks>::kShift == 0) {
        copies_.begin(from_, stage);
      } else {
        copies_.begin(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(from_) & ~uintptr_t{15}),
                      stage);
      }
      from_ += Blocks::kChunkBytes;
      if (--left_ == 0) next_rows();
    }
    commit_copies();
  }

 private:
  __device__ void enter(int part) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    for (part_ = part; part_ < a_.skinny.linear.part_count; ++part_) {
      const int bits = a_.slice_bits[part_];
      const TileRun run = run_of_part(a_.skinny, part_);
      number_ = run.begin + (warp >> bits);
      end_ = run.end;
      if (number_ < end_) return aim();
    }
  }
  __device__ void next_rows() {
    if (a_.skinny.linear.epilogue.gated && !is_up_) {
      is_up_ = true;
    } else {
      is_up_ = false;
      number_ += kMostWarps >> a_.slice_bits[part_];
      if (number_ >= end_) return enter(part_ + 1);
    }
    aim();
  }
  __device__ void aim() {
    const SkinnyPart& part = a_.skinny.linear.parts[part_];
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const int bits = a_.slice_bits[part_];
    const int slice = warp & ((1 << bits) - 1);
    const int first_chunk = a_.chunks * slice >> bits;
    left_ = (a_.chunks * (slice + 1) >> bits) - first_chunk;
    const int output = (number_ - a_.skinny.first_tile[part_]) * kWarpRows;
    const int rows = min(kWarpRows, part.outputs - output);
    int64_t first = output;
    int apart = 0;
    if constexpr (kPlaces) {
      const TileOfHead head = tile_of_head(a_.heads, {part_, output}, kWarpRows);
      if (head.is_halves) {
        first = head.first + head.own * (kWarpRows / 2);
        apart = static_cast<int>(a_.heads.pairs - kWarpRows / 2) * a_.row_bytes;
      }
    }
    from_ = static_cast<const char*>(is_up_ ? part.up : part.weight) + first * a_.row_bytes +
            first_chunk * Blocks::kChunkBytes;
    if (rows == rows_ && apart == apart_) return;
    rows_ = rows;
    apart_ = apart;
    copies_.aim(a_.row_bytes, rows, apart);
  }

  const BlockRowArguments& a_;
  RowChunk<Blocks> copies_;
  const char* from_;  // the next chunk of the tile's first row
  int left_ = 0;      // chunks of the tile
  int rows_ = 0;      // that copies_ is aimed at
  int apart_ = 0;
  int part_;
  int number_;  // of the tile
  int end_;
  bool is_up_ = false;  // the second factor's weights
};

/// A tile's sum of one output, of 2^kBits slices, in the order of run_block_product().
template <int kBits>
__device__ float sum_of_block_slices(const float* partials, int stride) {
  constexpr int kSlices = 1 << kBits;
  constexpr int kTogether = kSlices < kLastSlices ? 1 : kSlices / kLastSlices;
  float slices[kSlices];
#pragma unroll
  for (int i = 0; i < kSlices; ++i) slices[i] = partials[i * stride];
  float sum = 0;
#pragma unroll
  for (int next = 0; next < kSlices; next += kTogether) {
    float slice = slices[next];
#pragma unroll
    for (int j = 1; j < kTogether; ++j) slice += slices[next + j];
    sum = next == 0 ? slice : sum + slice;
  }
  return sum;
}
__device__ inline float sum_of_block_slices(const float* partials, int bits, int stride) {
  switch (bits) {
    case 0:
      return sum_of_block_slices<0>(partials, stride);
    case 1:
      return sum_of_block_slices<1>(partials, stride);
    case 2:
      return sum_of_block_slices<2>(partials, stride);
    case 3:
      return sum_of_block_slices<3>(partials, stride);
    default:
      static_assert(kMostWarps == 1 << 4);
      return sum_of_block_slices<4>(partials, stride);
  }
}

template <class Blocks, bool kPlaces, int kRing>
__global__ void __launch_bounds__(kBlockRowThreads, 1)
    multiply_block_row(const __grid_constant__ BlockRowArguments a) {
  using S = BlockRowShape<Blocks, kRing>;
  using Chunk = RowChunk<Blocks>;
  using One = OneRowBlocks<Blocks>;
  extern __shared__ uint4 shared[];
  __shared__ RowPartials row_partials;
  __shared__ uint4 zeros[kZeroBytes / sizeof(uint4)];
  const SkinnyArguments& skinny = a.skinny;
  const SkinnyLinear& linear = skinny.linear;
  const int halves = linear.epilogue.gated ? 2 : 1;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  auto* const dynamic = reinterpret_cast<unsigned char*>(shared);
  unsigned char* const ring = dynamic + warp * kRing * Chunk::kBytes;
  auto* const partials = reinterpret_cast<float*>(dynamic + S::kRingBytes);
  const BlockRow<Blocks> row(dynamic + S::kFixedBytes, linear.in);

  begin_next_kernel();
  // Nobody writes weights: the first are on their way before the row is there.
  ChunkWalk<Blocks, kPlaces> walk(a);
#pragma unroll 1
  for (int stage = 0; stage < kRing - 1; ++stage) walk.read(ring + stage * Chunk::kBytes);
  if (threadIdx.x < kZeroBytes / sizeof(uint4)) zeros[threadIdx.x] = {};
  prepare_block_row<Blocks>(a.row, row, row_partials);

  const int own_row = One::row_of_lane(lane);
  int stage = 0;
  /// Waits for the next chunk, and asks for the one that takes the place of the last. The chunk's place.
  const auto next_chunk = [&] {
    wait_for_copies<kRing - 2>();
    __syncwarp();  // the copies of all lanes are there; the stage before is read
    walk.read(ring + (stage == 0 ? kRing - 1 : stage - 1) * Chunk::kBytes);
    const unsigned char* const place = ring + stage * Chunk::kBytes;
    stage = stage + 1 == kRing ? 0 : stage + 1;
    return place + own_row * RowPieceShape<Blocks>::kRowBytes;
  };
  int turn = 0;
#pragma unroll 1
  for (int part = 0; part < linear.part_count; ++part) {
    const int bits = a.slice_bits[part];
    const int slices = 1 << bits;
    const int team = warp >> bits;
    const int slice = warp & (slices - 1);
    const int first_chunk = a.chunks * slice >> bits;
    const int last_chunk = a.chunks * (slice + 1) >> bits;
    const TileRun run = run_of_part(skinny, part);
    if (part > 0) __syncthreads();  // other teams than before
#pragma unroll 1
    for (int tile = run.begin + team; tile < run.end; tile += kMostWarps >> bits, turn ^= 1) {
      const int output = (tile - skinny.first_tile[part]) * kWarpRows;
      // What is added at the end is on its way from the start.
      float residual = 0;
      if (linear.epilogue.residual != nullptr && slice == 0 && lane < kWarpRows &&
          output + lane < linear.parts[part].outputs)
        residual = linear.epilogue.residual[output + lane];
      // Two sets of partial sums in turn: nobody writes one before the whole team has passed the barrier
      // after those who read it.
      float* const set = partials + turn * (kMostWarps * S::kPartials);
#pragma unroll 1
      for (int half = 0; half < halves; ++half) {
        float sums[2] = {};
        if constexpr (One::kBatch == 1) {
#pragma unroll 1
          for (int chunk = first_chunk; chunk < last_chunk; ++chunk) {
            const int shift = Chunk::shift(chunk);
            const auto* const words = reinterpret_cast<const unsigned*>(next_chunk() + (shift & ~3));
            const auto* const words_8 = words + kWarpRows / 2 * RowPieceShape<Blocks>::kRowBytes / 4;
            const auto add = [&](int rest) {
              One::add({{words, rest}, {words_8, rest}}, row.of(chunk), sums);
            };
            if (Blocks::kChunkBytes % 4 == 0 || shift % 4 == 0) {
              add(0);
            } else {
              add(2);
            }
          }
        } else {
#pragma unroll 1
          for (int chunk = first_chunk; chunk < last_chunk; chunk += One::kBatch) {
            const int count = min(One::kBatch, last_chunk - chunk);
            One products;
            products.begin();
#pragma unroll 1
            for (int i = 0; i < count; ++i)
              products.multiply(i, next_chunk(), row.of(chunk + i).values, zeros);
            products.add(count, row.of(chunk), sums);
          }
        }
        if (lane % 4 == One::kOwner) {
          float* const own = set + warp * S::kPartials + half * kWarpRows + own_row;
          own[0] = sums[0];
          own[kWarpRows / 2] = sums[1];
        }
      }
      if (slices == 1) {
        __syncwarp();
      } else {
        wait_for_team(1 + team, slices * kWarp);
      }
      if (slice != 0) continue;
      const int o = lane % kWarpRows;
      const float* const of_team = set + warp * S::kPartials + o;
      const float sum = sum_of_block_slices(of_team, bits, S::kPartials);
      if constexpr (kPlaces) {
        const TileOfHead head = tile_of_head(a.heads, {part, output}, kWarpRows);
        const int n = head.first + head.value(o, kWarpRows, a.heads.pairs);
        place_output(a.heads, head, lane, kWarpRows, biased(sum, 1, linear.parts[part].bias, n));
      } else {
        if (lane >= kWarpRows || output + lane >= linear.parts[part].outputs) continue;
        const float up = halves == 2 ? sum_of_block_slices(of_team + kWarpRows, bits, S::kPartials) : 0;
        write_row_output(skinny, {part, output}, lane, 1.0F, sum, up, residual);
      }
    }
  }
  wait_for_copies<0>();
}

}  // namespace ingot::cuda
