// The kernel of linears of one row with weights in blocks.
//
// Each block of threads has a run of tiles of 16 outputs, or of 16 pairs of gated ones, one block a
// multiprocessor. An item is the 16 weight rows of a tile, or of a factor of it. Items pass through a ring in
// shared memory in stages (block_row_stage.cuh), which some warps fill. Of each stage every other warp
// multiplies a chunk, always the same of a piece, so that it prepares that part of the row itself
// (block_row_prepare.cuh) and waits for no other warp. The sums of a tile's chunks are then added up by one
// warp, in the order that block_layout.cuh says.
#pragma once

#include "backend/cuda/kernels/attention_piece_shape.cuh"
#include "backend/cuda/kernels/block_row.h"
#include "backend/cuda/kernels/block_row_prepare.cuh"
#include "backend/cuda/kernels/block_row_stage.cuh"
#include "backend/cuda/kernels/block_row_sums.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/linear_tile_heads.cuh"
#include "backend/cuda/kernels/linear_usual.cuh"
#include "backend/cuda/kernels/team_barriers.cuh"
#include "backend/cuda/kernels/warpgroup_mma.cuh"

namespace ingot::cuda {

/// Warps that copy beside those that multiply: the copy engine takes from a warp what its lanes ask for one
/// after the other.
inline constexpr int kCopyWarps = 4;
inline constexpr int kCopiedRows = kWarpRows / kCopyWarps;  // of each item, by each of them
inline constexpr int kBlockRowThreads = (kRowWarps + kCopyWarps) * kWarp;
/// Stages that are multiplied before their sums are added up.
inline constexpr int kBatchStages = 4;
inline constexpr int kMostRing = 8;
inline constexpr int kCopyBarrier = 2;   // of the warps that copy
inline constexpr int kReadyBarrier = 3;  // of all: the others wait until these have set up what they share
static_assert(kCopyBarrier != kRowBarrier && kCopyBarrier != 0);
static_assert(kReadyBarrier != kRowBarrier && kReadyBarrier != kCopyBarrier && kReadyBarrier != 0);

struct BlockRowArguments {
  // First, as blocks need it first: what a kernel is given comes from memory piece by piece.
  int block_tiles = 0;     // of each block, in turn
  int longer_blocks = 0;   // the first, which have one more
  SkinnyArguments skinny;  // tiles of kWarpRows outputs or pairs
  RowPreparation row;
  LinearHeads heads;  // of kernels that place them
  RowStages stages;
  int row_bytes = 0;                      // of the weights
  int slice_bits[kMostLinearParts] = {};  // of each part: its slices are that power of two
};

/// The tiles of this block.
struct TileRun {
  int begin;
  int end;
};
__device__ inline TileRun tile_run(const BlockRowArguments& a) {
  const int block = static_cast<int>(blockIdx.x);
  const int begin = block * a.block_tiles + min(block, a.longer_blocks);
  return {begin, begin + a.block_tiles + (block < a.longer_blocks ? 1 : 0)};
}

#if __CUDA_ARCH__ >= 900
/// Begins to copy some rows of a stage of the block's run, of as many items as there are: `first_row` and
/// those after it, one for each of kCopiedRows lanes. By one warp.
template <class Blocks, bool kPlaces>
__device__ void begin_rows(const BlockRowArguments& a, const TileRun& run, int double_halves, int stage,
                           int first_row, unsigned char* to, PhaseBarrier* full, uint64_t policy) {
  const RowStages& s = a.stages;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int own_row = first_row + lane % kCopiedRows;
  const int first_item = s.pieces == 1 ? stage * s.units : stage / s.pieces;
  const int first_chunk = s.pieces == 1 ? 0 : (stage - first_item * s.pieces) * s.piece_chunks;
  const int items = min(s.units, ((run.end - run.begin) << double_halves) - first_item);
  const int bytes = min(s.piece_chunks, s.chunks - first_chunk) * Blocks::kChunkBytes;
  if (lane == 0) arrive_expecting(full, items * kCopiedRows * bytes);
  __syncwarp();
  to += own_row * s.pitch;
#pragma unroll 1
  for (int item = first_item; item < first_item + items; ++item, to += kWarpRows * s.pitch) {
    const Tile tile = tile_at(a.skinny, run.begin + (item >> double_halves), kWarpRows);
    const SkinnyPart& part = a.skinny.linear.parts[tile.part];
    // The last row stands in for those beyond it.
    int row = min(tile.first_output + own_row, part.outputs - 1);
    if constexpr (kPlaces) {
      const TileOfHead head = tile_of_head(a.heads, tile, kWarpRows);
      row = head.first + head.value(own_row, kWarpRows, a.heads.pairs);
    }
    const auto* const weights = static_cast<const char*>((item & double_halves) != 0 ? part.up : part.weight);
    if (lane < kCopiedRows)
      copy_bulk_once(to, weights + int64_t{row} * a.row_bytes + first_chunk * Blocks::kChunkBytes, bytes,
                     full, policy);
  }
}
#endif

/// Whether a block leaves registers for one of attention's teams beside it, so that attention begins while
/// what comes before it ends, and what comes behind while it ends: 112 a thread, enough for up to four
/// query heads at once of 64 or 128 values. Kernels with other ends need more registers themselves.
template <LinearEnd kEnd>
inline constexpr bool kLeavesRoom = kEnd == LinearEnd::plain || kEnd == LinearEnd::heads;
/// Threads that a multiprocessor's registers are shared out among.
template <LinearEnd kEnd>
inline constexpr int kSharingThreads = kBlockRowThreads + (kLeavesRoom<kEnd> ? kTeam : 0);

/// Registers go from the warps that copy to those that multiply.
template <LinearEnd kEnd>
__device__ __forceinline__ void give_registers() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  if constexpr (kLeavesRoom<kEnd>) set_fewer_registers<40>();
#endif
}
template <LinearEnd kEnd>
__device__ __forceinline__ void take_registers() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  if constexpr (kLeavesRoom<kEnd>) set_more_registers<88>();
#endif
}

template <class Blocks, RowNorm kNorm, LinearEnd kEnd>
__global__ void __launch_bounds__(kSharingThreads<kEnd>, 1)
    multiply_block_row(const __grid_constant__ BlockRowArguments a) {
#if __CUDA_ARCH__ >= 900
  using One = OneRowBlocks<Blocks>;
  constexpr bool kPlaces = kEnd == LinearEnd::heads;
  extern __shared__ __align__(128) unsigned char dynamic[];
  __shared__ RowPartials row_partials;
  __shared__ PhaseBarrier full[kMostRing];   // a stage is there
  __shared__ PhaseBarrier empty[kMostRing];  // nobody reads it any more
  __shared__ PhaseBarrier row_read;
  uint32_t full_at = shared_address(full);  // found once, not for every stage
  uint32_t empty_at = shared_address(empty);
  asm volatile("" : "+r"(full_at), "+r"(empty_at));
  const RowStages& s = a.stages;
  const SkinnyArguments& skinny = a.skinny;
  const SkinnyLinear& linear = skinny.linear;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const TileRun run = tile_run(a);

  begin_next_kernel();
  const int stage_bytes = s.stage_bytes();
  const int pitch = partial_pitch(s);
  auto* const partials = reinterpret_cast<float*>(dynamic + s.ring * stage_bytes);
  const BlockRow<Blocks> row(dynamic + s.ring * stage_bytes + partial_bytes(s), s);
  const bool gated = kEnd == LinearEnd::gated_silu || (kEnd == LinearEnd::any && linear.epilogue.gated);
  const int double_halves = gated ? 1 : 0;  // items of a tile: 2 to that power
  const int unit = warp / s.piece_chunks;
  const int own_chunk = warp - unit * s.piece_chunks;  // of each piece
  const int own_row = One::row_of_lane(lane);
  const int items = (run.end - run.begin) << double_halves;
  const int stages = stages_of_items(s, items);
  if (warp >= kRowWarps) {
    give_registers<kEnd>();
    if (warp == kRowWarps && lane < s.ring) {
      begin_barrier(full + lane, kCopyWarps);
      begin_barrier(empty + lane, kRowWarps);
      if (lane == 0) begin_barrier(&row_read, 1);
      fence_barriers();
    }
    wait_for_team(kCopyBarrier, kCopyWarps * kWarp);
    arrive_at_team(kReadyBarrier, kBlockRowThreads);
    int stage = 0;
    const uint64_t policy = weights_policy(true);
    const auto begin = [&](int slot) {
      begin_rows<Blocks, kPlaces>(a, run, double_halves, stage++, (warp - kRowWarps) * kCopiedRows,
                                  dynamic + slot * stage_bytes, full + slot, policy);
    };
    // Nobody writes weights: the first are on their way before the row is there. More would be ahead of the
    // row where memory takes what is asked for: until it has been read, the next stage waits for one of those
    // before.
    while (stage < min(s.early, stages)) begin(stage);
    while (stage < min(s.ring, stages)) {
      while (!is_complete(&row_read, 0) && (stage < s.early || !is_complete(full + stage - s.early, 0))) {
      }
      begin(stage);
    }
    int slot = 0;
    for (int phase = 0; stage < stages;) {
      wait_for_phase(empty + slot, phase);
      begin(slot);
      if (++slot == s.ring) {
        slot = 0;
        phase ^= 1;
      }
    }
    wait_for_inputs();
    return;
  }

  take_registers<kEnd>();
  const int at = own_chunk * Blocks::kChunkBytes;
  const unsigned char* const own_stage = dynamic + (unit * kWarpRows + own_row) * s.pitch + at;
  const bool has_chunks = unit < s.units && own_chunk < s.chunks;
  const OwnChunks own{.first = own_chunk,
                      .step = s.piece_chunks,
                      .count = has_chunks ? (s.chunks - own_chunk + s.piece_chunks - 1) / s.piece_chunks : 0,
                      .slot = warp * s.pieces};
  static_assert(One::kZeroBytes / 4 <= kRowWarps * kWarp);
  if (static_cast<int>(threadIdx.x) < One::kZeroBytes / 4)
    reinterpret_cast<unsigned*>(row.zeros)[threadIdx.x] = 0;
  wait_for_team(kReadyBarrier, kBlockRowThreads);
  prepare_chunks<Blocks, kNorm>(a.row, row, own, row_partials, [&] {
    if (threadIdx.x == 0) arrive(&row_read);
  });

  // What is added at the end is on its way from the start.
  const auto residual_of = [&](int tile_number) {
    if ((kEnd != LinearEnd::any && kEnd != LinearEnd::plain) || linear.epilogue.residual == nullptr ||
        tile_number >= run.end || lane >= kWarpRows)
      return 0.0F;
    const int output = tile_number * kWarpRows + lane;
    return output < linear.parts[0].outputs ? linear.epilogue.residual[output] : 0.0F;
  };
  int own_tile = run.begin + warp;  // that this warp finishes
  float residual = residual_of(own_tile);

  const int place_mask = s.partial_items - 1;
  auto operands = One::operands(row.of(own.slot));
  int slot = 0;
  int phase = 0;
  int item = s.pieces == 1 ? unit : 0;  // of this warp, of the stage
  int piece = 0;
#pragma unroll 1
  for (int first = 0; first < stages; first += kBatchStages) {
    const int count = min(kBatchStages, stages - first);
#pragma unroll 1
    for (int c = 0; c < count; ++c) {
      wait_barrier(full_at + slot * 8, phase);
      if (piece < own.count && item < items) {
        const unsigned char* const rows = own_stage + slot * stage_bytes;
        const int shift = Blocks::kChunkBytes % 4 == 0 ? 0 : at & 3;
        const auto* const words = reinterpret_cast<const unsigned*>(rows - shift);
        const auto* const words_8 = words + kWarpRows / 2 * s.pitch / 4;
        float sums[2] = {};
        if (!One::kKeepsOperands || s.pieces > 1) operands = One::operands(row.of(own.slot + piece));
        if (Blocks::kChunkBytes % 4 == 0 || shift == 0) {
          One::add({{words, 0}, {words_8, 0}}, operands, sums);
        } else {
          One::add({{words, 2}, {words_8, 2}}, operands, sums);
        }
        if (lane % 4 == One::kOwner) {
          float* const place = partials + ((item & place_mask) * kWarpRows + own_row) * pitch + own_chunk +
                               piece * s.piece_chunks;
          place[0] = sums[0];
          place[kWarpRows / 2 * pitch] = sums[1];
        }
      }
      __syncwarp();
      if (lane == 0) arrive(empty_at + slot * 8);
      if (++slot == s.ring) {
        slot = 0;
        phase ^= 1;
      }
      if (++piece == s.pieces) {
        piece = 0;
        item += s.units;
      }
    }
    wait_for_row_warps();

    const int done = s.pieces == 1 ? min((first + count) * s.units, items) : item;
    const int done_tiles = run.begin + (done >> double_halves);
#pragma unroll 1
    for (; own_tile < done_tiles; own_tile += kRowWarps, residual = residual_of(own_tile)) {
      const Tile tile = tile_at(skinny, own_tile, kWarpRows);
      const int bits = a.slice_bits[tile.part];
      const int o = lane % kWarpRows;
      float sums[2] = {};
#pragma unroll 1
      for (int half = 0; half < (kPlaces ? 1 : 1 << double_halves); ++half) {
        const int place = (((own_tile - run.begin) << double_halves) + half) & place_mask;
        sums[1] = sums[0];
        sums[0] = sum_of_chunks(partials + (place * kWarpRows + o) * pitch, s.chunks, bits);
      }
      if constexpr (kPlaces) {
        const TileOfHead head = tile_of_head(a.heads, tile, kWarpRows);
        const int n = head.first + head.value(o, kWarpRows, a.heads.pairs);
        place_output(a.heads, head, lane, kWarpRows, biased(sums[0], 1, linear.parts[tile.part].bias, n));
      } else {
        if (lane >= kWarpRows || tile.first_output + lane >= linear.parts[tile.part].outputs) continue;
        const float sum = gated ? sums[1] : sums[0];
        if constexpr (kEnd == LinearEnd::any) {
          write_row_output(skinny, tile, lane, 1.0F, sum, sums[0], residual);
        } else {
          const SkinnyPart& part = linear.parts[tile.part];
          const int n = tile.first_output + lane;
          float y = sum;
          if constexpr (kEnd == LinearEnd::gated_silu)
            y = __fmul_rn(activated(LinearActivation::silu, y), sums[0]);
          if (kEnd == LinearEnd::plain && linear.epilogue.residual != nullptr) y = __fadd_rn(residual, y);
          part.out[n] = y;
          if (part.out_bf16 != nullptr) part.out_bf16[n] = __bfloat16_as_ushort(__float2bfloat16_rn(y));
        }
      }
    }
  }
#endif
}

}  // namespace ingot::cuda
