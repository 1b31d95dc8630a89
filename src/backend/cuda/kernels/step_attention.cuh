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
  __threadfence_block();
  barrier();
}

/// All of it, by the first kStepTeams * kTeam threads of every block. `counts`: of the pieces that are done,
/// of each row's items; 0 before and after.
template <typename S>
__device__ __noinline__ void attend_step(const StepAttention& step, char* shared, uint32_t* counts) {
  const PagedAttention& a = step.attention;
  const int thread = static_cast<int>(threadIdx.x) % kTeam;
  const int team_number = static_cast<int>(threadIdx.x) / kTeam;
  StepTeam<S>& team = reinterpret_cast<StepTeam<S>*>(shared)[team_number];
  const auto barrier = [&] { sync_threads_of(kTeamBarrier + team_number, kTeam); };
  const int group = a.heads / a.kv_heads;
  const int chunks = (group + S::kHeads - 1) / S::kHeads;
  const int number = team_number * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x);
  const int teams = kStepTeams * static_cast<int>(gridDim.x);

  // Rows that pad the step.
  const int64_t width = static_cast<int64_t>(a.heads) * a.head_dim;
  for (int64_t i = a.seq_start[a.sequences] * width + number * kTeam + thread; i < a.rows * width;
       i += int64_t{teams} * kTeam)
    a.out[i] = 0;

  PieceWalk walk(a, chunks, number, teams);
  for (; !walk.done(); walk.next(a)) {
    const PieceItem item = walk.item<S>();
    const auto& [piece, kv_head, head_in_group] = item;
    const int64_t first_head = int64_t{piece.row} * a.heads + kv_head * group + head_in_group;
    const float* queries = a.q + first_head * S::kHeadDim;
    if (step.has_heads) {
      place_piece_heads(step, piece, kv_head, head_in_group, thread, barrier, team);
      queries = reinterpret_cast<const float*>(team.queries);
    }
    attend_piece<S>(a, step.sums, item, queries, thread, barrier, team.pieces, NoRing());
    const int splits = walk.splits();
    if (splits > 1) {
      __threadfence();
      barrier();
      if (thread == 0) {
        uint32_t* count = counts + walk.number_of_heads();
        team.is_last = atomicAdd(count, 1U) + 1 == static_cast<uint32_t>(splits) ? 1 : 0;
        if (team.is_last != 0) *count = 0;  // nobody else comes
        __threadfence();
      }
      barrier();
      if (team.is_last != 0) {
        for (int head = thread / kWarp; head < min(S::kHeads, group - head_in_group); head += kTeamWarps)
          join_pieces_by_warp<S::kVectors>(a, step.sums, first_head + head, splits);
      }
    }
    barrier();  // what the team shares is used again
  }
}

}  // namespace ingot::cuda
