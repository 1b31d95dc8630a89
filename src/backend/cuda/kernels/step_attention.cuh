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

inline constexpr int kStepTeams = 2;  // of a block

/// What a team shares.
template <typename S>
struct StepTeam {
  PieceScratch<S> pieces;
  float4 queries[S::kHeads * S::kVectors];
  uint32_t is_last;
};

/// place_head() and place_item(), one copy of their code.
__device__ __noinline__ void place_one_head(const LinearHeads& h, int64_t row, const float* from, float* to,
                                            const FloatRow& norm) {
  place_head(h, row, from, to, norm);
}
__device__ __noinline__ void place_one_item(const LinearHeads& h, int64_t item) {
  place_item(h, item);
}

/// A team's first items, which all of a step's layers share, with what is known of the rows.
struct KeptWalk {
  const int32_t* seq_start;  // null: nothing is kept
  int window;
  int heads;
  int kv_heads;
  alignas(8) unsigned char walk[sizeof(PieceWalk)];

  __device__ bool is_of(const PagedAttention& a) const {
    return seq_start == a.seq_start && window == a.window && heads == a.heads && kv_heads == a.kv_heads;
  }
  __device__ PieceWalk get() const { return *reinterpret_cast<const PieceWalk*>(walk); }
  __device__ void keep(const PagedAttention& a, const PieceWalk& of) {
    seq_start = a.seq_start;
    window = a.window;
    heads = a.heads;
    kv_heads = a.kv_heads;
    *reinterpret_cast<PieceWalk*>(walk) = of;
  }
};
static_assert(std::is_trivially_copyable_v<PieceWalk>);

/// The number of a team of a block, among all: a block's teams are far apart, so that few items are spread
/// over as many blocks as possible.
__device__ inline int number_of_team(int team) {
  return team * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x);
}

/// Asks for the keys and values of a team's first item, by a warp, while the instruction before is at work:
/// they are as they will be but for the new ones.
template <typename S>
__device__ __noinline__ void fetch_piece(const StepAttention& step, const KeptWalk& kept) {
  const PagedAttention& a = step.attention;
  if (!kept.is_of(a)) return;
  const PieceWalk walk = kept.get();
  if (walk.done()) return;
  const PieceItem item = walk.item<S>();
  const AttentionRow& place = item.piece.place;
  const int size = split_keys(place.keys(), a.kv_heads);
  const int first = place.first + item.piece.split * size;
  const int end = min(first + size, place.position);
  const int32_t* pages = a.block_table + static_cast<int64_t>(place.sequence) * a.pages;
  for (int position = first + static_cast<int>(threadIdx.x) % kWarp; position < end; position += kWarp) {
    const int64_t at = cache_offset(a, pages, item.kv_head, position);
#pragma unroll
    for (int i = 0; i < S::kHeadDim; i += 32) {
      fetch_line(a.keys + at + i);
      fetch_line(a.values + at + i);
    }
  }
}

/// Places the new keys and values that lie in a piece, by a warp: several teams may write the same ones.
__device__ __noinline__ void place_new_keys(const StepAttention& step, const PieceItem& item) {
  const PagedAttention& a = step.attention;
  const LinearHeads& h = step.heads;
  const AttentionRow& place = item.piece.place;
  const int size = split_keys(place.keys(), a.kv_heads);
  const int first_position = place.first + item.piece.split * size;
  const int end_position = min(first_position + size, place.position + 1);
  const int end_row = a.seq_start[place.sequence + 1];
  const int context = a.context_len[place.sequence];
#pragma unroll 1
  for (int row = a.seq_start[place.sequence]; row < end_row; ++row) {
    const int position = context - (end_row - row);
    if (position < first_position || position >= end_position) continue;
    const int64_t key = static_cast<int64_t>(row) * (h.heads + 2 * h.kv_heads) + h.heads + item.kv_head;
    place_one_item(h, key);
    place_one_item(h, key + h.kv_heads);
  }
}

/// Places an item's queries for the team, and those of a row's first piece where the op has them.
template <typename S>
__device__ __noinline__ void place_queries(const StepAttention& step, const PieceItem& item, int thread,
                                           StepTeam<S>& team) {
  const PagedAttention& a = step.attention;
  const LinearHeads& h = step.heads;
  const int lane = thread % kWarp;
  const int group = a.heads / a.kv_heads;
  const int heads = min(S::kHeads, group - item.head_in_group);
  const int first_head = item.kv_head * group + item.head_in_group;
  const int row = item.piece.row;
  auto* const queries = reinterpret_cast<float*>(team.queries);
#pragma unroll 1
  for (int head = thread / kWarp; head < heads; head += kTeamWarps) {
    float* to = queries + head * S::kHeadDim;
    place_one_head(h, row, h.q + row * h.q_stride + (first_head + head) * S::kHeadDim, to, h.q_norm);
    if (item.piece.split > 0) continue;
    __syncwarp();
    float* out = h.q_out + (static_cast<int64_t>(row) * a.heads + first_head + head) * S::kHeadDim;
    for (int i = lane; i < S::kHeadDim; i += kWarp) out[i] = to[i];
  }
}

/// All of it. `team_number`: of the block; `thread`: of the team's kTeam, which attend, or behind them, a
/// warp's that helps. `counts`: of the pieces that are done, of each row's items; 0 before and after.
template <typename S>
__device__ __noinline__ void attend_step(const StepAttention& step, char* shared, KeptWalk* kept,
                                         uint32_t* counts, int team_number, int thread) {
  constexpr int kAll = kTeam + kWarp;
  const PagedAttention& a = step.attention;
  StepTeam<S>& team = reinterpret_cast<StepTeam<S>*>(shared)[team_number];
  const auto barrier = [&] { sync_threads_of(kTeamBarrier + team_number, kTeam); };
  const auto meet = [&] { sync_threads_of(kJoinBarrier + team_number, kAll); };
  const int group = a.heads / a.kv_heads;
  const int chunks = (group + S::kHeads - 1) / S::kHeads;
  const int number = number_of_team(team_number);
  const int teams = kStepTeams * static_cast<int>(gridDim.x);
  const bool is_kept = kept[team_number].is_of(a);

  PieceWalk walk = is_kept ? kept[team_number].get() : PieceWalk(a, chunks, number, teams);
  if (!is_kept) {
    // Seen behind the barrier that ends the instruction; it is the same in every thread.
    meet();
    if (thread == 0) kept[team_number].keep(a, walk);
  }
  if (thread >= kTeam) {  // rows that pad the step become zero
    const int64_t width = static_cast<int64_t>(a.heads) * a.head_dim;
#pragma unroll 1
    for (int64_t i = a.seq_start[a.sequences] * width + number * kWarp + thread - kTeam; i < a.rows * width;
         i += int64_t{teams} * kWarp)
      a.out[i] = 0;
  }

#pragma unroll 1
  for (; !walk.done(); walk.next(a)) {
    const PieceItem item = walk.item<S>();
    const int splits = walk.splits();
    if (thread >= kTeam) {
      if (step.has_heads) {
        place_new_keys(step, item);
        meet();
      }
      // A thread that has copies on their way would wait for them as it counts: these have none.
      if (splits == 1) continue;
      meet();
      if (thread == kTeam) {
        uint32_t* count = counts + walk.number_of_heads();
        const bool is_last = count_up(count) + 1 == static_cast<uint32_t>(splits);
        team.is_last = is_last ? 1 : 0;
        if (is_last) *count = 0;  // nobody else comes
      }
      __syncwarp();
      meet();
      continue;
    }
    const int64_t first_head = int64_t{item.piece.row} * a.heads + item.kv_head * group + item.head_in_group;
    const float* queries = a.q + first_head * S::kHeadDim;
    if (step.has_heads) {
      place_queries(step, item, thread, team);
      queries = reinterpret_cast<const float*>(team.queries);
      meet();
    }
    attend_piece<S>(a, step.sums, item, queries, thread, barrier, team.pieces, NoRing());
    if (splits == 1) {
      barrier();  // what the team shares is used again
      continue;
    }
    meet();
    meet();
    if (team.is_last == 0) continue;
#pragma unroll 1
    for (int head = thread / kWarp; head < min(S::kHeads, group - item.head_in_group); head += kTeamWarps)
      join_pieces_by_warp<S::kVectors>(a, step.sums, first_head + head, splits);
    barrier();
  }
}

}  // namespace ingot::cuda
