// Attention for generated tokens where rows have many pieces, or a step many rows: teams do nothing but
// attend to pieces, and a second kernel joins them. It joins in the order of attention_together.cuh, so that
// a row's bits do not depend on the other rows of its step.
#pragma once

#include "backend/cuda/kernels/attention_ring.cuh"
#include "backend/cuda/kernels/attention_shares.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {

/// Puts what a piece comes to into memory.
template <typename S>
struct ToMemory {
  const SplitSums& sums;
  int64_t head;  // of [rows, heads], the item's first
  int split;

  __device__ void put(int h, int dim, const float4& values, float highest, float sum) const {
    const int64_t place = (head + h) * sums.most_splits + split;
    *reinterpret_cast<float4*>(sums.mixed + place * S::kHeadDim + dim) = values;
    if (dim == 0) sums.stats[place] = {highest, sum};
  }
};

/// Every block is a team.
template <typename S>
__global__ void __launch_bounds__(kTeam, kTeams) attend_stream(const __grid_constant__ Decode decode) {
  using Walk = PieceWalk<1>;
  extern __shared__ float4 memory[];
  __shared__ PieceScratch<S> scratch;
  const PagedAttention& a = decode.attention;
  const int thread = static_cast<int>(threadIdx.x);
  begin_next_kernel();
  // Until inputs are there: what the step was given, and keys and values older than it (linear_overlap.cuh).
  Walk walk(a, decode.chunks, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  PieceRing<S, Walk> ring(walk, thread, memory);
  ring.ask_for_old(a);
  wait_for_inputs();
  const int group = a.heads / a.kv_heads;
#pragma unroll 1
  while (!walk.done()) {
    ring.come_to_item(a);
    const PieceItem item = walk.item<S>();
    walk.next(a);
    ring.look_ahead();
    const int64_t head = int64_t{item.piece.row} * a.heads + item.kv_head * group + item.head_in_group;
    const WarpKeys<S> keys(a, item, thread / kWarp);
    attend_piece<S>(a, item, keys, a.q + head * S::kHeadDim, thread, scratch, ring,
                    ToMemory<S>{decode.sums, head, item.piece.split});
  }
  clear_padding(a, rows_of_sequences(a));
}

/// Joins the pieces of the heads of an item: each group of kJoinedAtOnce by a warp for each share, then a
/// share's groups.
template <typename S>
__global__ void __launch_bounds__(kJoinedAtOnce* kWarp)
    join_units(const __grid_constant__ Decode decode, int log_blocks) {
  constexpr int kMostGroups = most_pieces(1) / kJoinedAtOnce;
  __shared__ AttentionRow row;
  __shared__ float4 mixed[kMostGroups][Share<S>::kVectors];
  __shared__ float2 stats[kMostGroups];
  const PagedAttention& a = decode.attention;
  begin_next_kernel();
  const int block = static_cast<int>(blockIdx.x);
  const int own_share = block & ((1 << log_blocks) - 1);
  const int of_row = a.kv_heads * decode.chunks;
  const int row_number = (block >> log_blocks) / of_row;
  const int item = (block >> log_blocks) % of_row;
  const bool is_row = find_row(a, row_number, row);
  const int splits = is_row ? splits_of(a, row.keys()) : 1;
  wait_for_inputs();
  if (splits == 1) return;
  const int groups = (splits - 1) / kJoinedAtOnce + 1;
  const int log_shares = 3 - log_blocks;  // of this block
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int own_lane = min(lane, Share<S>::kVectors - 1);
  const int group = a.heads / a.kv_heads;
  // What a share's vector is of; false where the group has no such head.
  int64_t head = 0;
  int dim = 0;
  const auto find = [&](int share) {
    const int vector = ((share << log_blocks) + own_share) * Share<S>::kVectors + own_lane;
    const int head_in_group = item % decode.chunks * S::kHeads + vector / S::kVectors;
    head = int64_t{row_number} * a.heads + item / decode.chunks * group + head_in_group;
    dim = vector % S::kVectors * 4;
    return vector < Share<S>::kAll && head_in_group < group;
  };
#pragma unroll 1
  for (int task = warp; task < groups << log_shares; task += kJoinedAtOnce) {
    if (!find(task & ((1 << log_shares) - 1))) continue;
    const int first = (task >> log_shares) * kJoinedAtOnce;
    const int64_t place = head * decode.sums.most_splits + first;
    const auto joined = share::join(
        min(kJoinedAtOnce, splits - first), [&](int i) { return __ldcg(decode.sums.stats + place + i); },
        [&](int i) { return piece::load(decode.sums.mixed + (place + i) * S::kHeadDim + dim); });
    if (groups == 1) {
      if (lane < Share<S>::kVectors)
        put_output(a, head * S::kHeadDim + dim, piece::scaled(joined.mixed, 1.0F / joined.sum));
      continue;
    }
    if (lane < Share<S>::kVectors) mixed[task][lane] = joined.mixed;
    if (lane == 0) stats[task] = {joined.max, joined.sum};
  }
  if (groups == 1) return;
  __syncthreads();
  if (warp >> log_shares != 0 || !find(warp)) return;
  const auto joined = share::join(
      groups, [&](int i) { return stats[(i << log_shares) + warp]; },
      [&](int i) { return mixed[(i << log_shares) + warp][own_lane]; });
  if (lane < Share<S>::kVectors)
    put_output(a, head * S::kHeadDim + dim, piece::scaled(joined.mixed, 1.0F / joined.sum));
}

}  // namespace ingot::cuda
