// Attention of a step's rows by the teams of a program's blocks: a team takes a piece of a row's keys for the
// query heads of one key head. Where the heads of linear_qkv come right before, the team places those that it
// needs itself; the team that is the last with its piece of a row's head joins the pieces.
#pragma once

#include "backend/cuda/kernels/attention_join.cuh"
#include "backend/cuda/kernels/attention_pieces.cuh"
#include "backend/cuda/kernels/linear_heads.cuh"
#include "backend/cuda/kernels/step_barrier.cuh"
#include "backend/cuda/kernels/step_program.h"

namespace ingot::cuda {

inline constexpr int kStepTeams = 4;  // of a block

/// What a team shares.
template <typename S>
struct StepTeam {
  PieceScratch<S> pieces;
  float4 queries[S::kHeads * S::kVectors];
  uint32_t is_last;
};

/// Places the new keys and values that lie in a piece: several teams may write the same ones. And the
/// queries, for the team; once more to where the op has them.
template <typename S, typename Barrier>
__device__ inline void place_piece_heads(const StepAttention& step, const AttentionPiece& piece, int kv_head,
                                         int head_in_group, int thread, const Barrier& barrier,
                                         StepTeam<S>& team) {
  const PagedAttention& a = step.attention;
  const LinearHeads& h = step.heads;
  const int warp = thread / kWarp;
  const int lane = thread % kWarp;
  const int group = a.heads / a.kv_heads;
  const int heads = min(S::kHeads, group - head_in_group);
  const int keys = piece.place.keys();
  const int size = split_keys(keys, a.kv_heads);
  const int first_position = piece.place.first + piece.split * size;
  const int end_position = min(first_position + size, piece.place.position + 1);
  const int first_row = a.seq_start[piece.place.sequence];
  const int end_row = a.seq_start[piece.place.sequence + 1];
  const int context = a.context_len[piece.place.sequence];
  for (int row = first_row; row < end_row; ++row) {
    const int position = context - (end_row - row);
    if (position < first_position || position >= end_position) continue;
    const int64_t of_row = static_cast<int64_t>(row) * (h.heads + 2 * h.kv_heads) + h.heads + kv_head;
    if (warp >= kTeamWarps - 2) place_item(h, of_row + (warp == kTeamWarps - 1 ? h.kv_heads : 0));
  }
  const int first_head = kv_head * group + head_in_group;
  auto* const queries = reinterpret_cast<float*>(team.queries);
  for (int head = warp; head < heads; head += kTeamWarps) {
    float* to = queries + head * S::kHeadDim;
    place_head(h, piece.row, h.q + piece.row * h.q_stride + (first_head + head) * S::kHeadDim, to, h.q_norm);
    if (piece.split > 0) continue;
    __syncwarp();
    float* out = h.q_out + (static_cast<int64_t>(piece.row) * a.heads + first_head + head) * S::kHeadDim;
    for (int i = lane; i < S::kHeadDim; i += kWarp) out[i] = to[i];
  }
  barrier();
}

/// join_pieces() by a warp.
template <typename S>
__device__ inline void join_by_warp(const PagedAttention& a, const SplitSums& sums, int64_t head,
                                    int splits) {
  constexpr int kUnits = S::kVectors;
  constexpr int kWays = kJoinTeam / (kUnits < kJoinTeam ? kUnits : kJoinTeam);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const float2* stats = sums.stats + head * sums.most_splits;
  float max = -INFINITY;
  for (int i = lane; i < splits; i += kWarp) max = fmaxf(max, __ldcg(stats + i).x);
#pragma unroll
  for (int other = kWarp / 2; other > 0; other /= 2)
    max = fmaxf(max, __shfl_xor_sync(0xffffffff, max, other));
  float total = 0;
  for (int i = lane; i < splits; i += kWarp) {
    const float2 of_piece = __ldcg(stats + i);
    total = fmaf(expf(of_piece.x - max), of_piece.y, total);
  }
#pragma unroll
  for (int other = kWarp / 2; other > 0; other /= 2)
    total = __fadd_rn(total, __shfl_xor_sync(0xffffffff, total, other));
  const float share = 1.0F / total;
  const float4* mixed = reinterpret_cast<const float4*>(sums.mixed) + head * sums.most_splits * kUnits;
  float4* out = reinterpret_cast<float4*>(a.out) + head * kUnits;
  for (int unit = lane; unit < kUnits; unit += kWarp) {
    float4 parts[kWays] = {};
    for (int first = 0; first < splits; first += kWays) {
#pragma unroll
      for (int way = 0; way < kWays; ++way) {
        const int i = first + way;
        if (i < splits)
          joining::add(parts[way], __ldcg(mixed + static_cast<int64_t>(i) * kUnits + unit),
                       expf(__ldcg(stats + i).x - max));
      }
    }
    float4 value{};
#pragma unroll
    for (int way = 0; way < kWays; ++way) {
      if (way < splits) joining::add(value, parts[way], share);
    }
    out[unit] = value;
  }
}

/// All of it. `team_number`: of the block; `thread`: of the team's kTeam, which attend, or behind them, a warp's
/// that counts. `counts`: of the pieces that are done, of each row's items; 0 before and after.
template <typename S>
__device__ __noinline__ void attend_step(const StepAttention& step, char* shared, uint32_t* counts,
                                         int team_number, int thread) {
  constexpr int kAll = kTeam + kWarp;
  const PagedAttention& a = step.attention;
  StepTeam<S>& team = reinterpret_cast<StepTeam<S>*>(shared)[team_number];
  const auto barrier = [&] { sync_threads_of(kTeamBarrier + team_number, kTeam); };
  const int group = a.heads / a.kv_heads;
  const int chunks = (group + S::kHeads - 1) / S::kHeads;
  const int number = team_number * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x);
  const int teams = kStepTeams * static_cast<int>(gridDim.x);

  // Rows that pad the step.
  const int64_t width = static_cast<int64_t>(a.heads) * a.head_dim;
  for (int64_t i = a.seq_start[a.sequences] * width + number * kAll + thread; i < a.rows * width;
       i += int64_t{teams} * kAll)
    a.out[i] = 0;

  PieceWalk walk(a, a.kv_heads * chunks, number, teams);
  for (; !walk.done(); walk.next(a)) {
    const AttentionPiece& piece = walk.piece();
    const int splits = splits_of(piece.place.keys(), a.kv_heads);
    const int head_in_group = walk.item() % chunks * S::kHeads;
    if (thread >= kTeam) {
      // A thread that has copies on their way would wait for them at a fence: these have none.
      if (splits == 1) continue;
      sync_threads_of(kJoinBarrier + team_number, kAll);
      if (thread == kTeam) {
        __threadfence();
        uint32_t* count = counts + piece.row * a.kv_heads * chunks + walk.item();
        const bool is_last = atomicAdd(count, 1U) + 1 == static_cast<uint32_t>(splits);
        team.is_last = is_last ? 1 : 0;
        if (is_last) *count = 0;  // nobody else comes
        __threadfence();
      }
      __syncwarp();
      sync_threads_of(kJoinBarrier + team_number, kAll);
      continue;
    }
    const int kv_head = walk.item() / chunks;
    const int64_t first_head = int64_t{piece.row} * a.heads + kv_head * group + head_in_group;
    const float* queries = a.q + first_head * S::kHeadDim;
    if (step.has_heads) {
      place_piece_heads(step, piece, kv_head, head_in_group, thread, barrier, team);
      queries = reinterpret_cast<const float*>(team.queries);
    }
    attend_piece<S, 0>(a, step.sums, piece, kv_head, head_in_group, queries, thread, barrier, team.pieces,
                       nullptr);
    if (splits == 1) {
      barrier();  // what the team shares is used again
      continue;
    }
    sync_threads_of(kJoinBarrier + team_number, kAll);
    sync_threads_of(kJoinBarrier + team_number, kAll);
    if (team.is_last == 0) continue;
    for (int head = thread / kWarp; head < min(S::kHeads, group - head_in_group); head += kTeamWarps)
      join_by_warp<S>(a, step.sums, first_head + head, splits);
    barrier();
  }
}

}  // namespace ingot::cuda
