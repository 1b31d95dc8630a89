// Attention for generated tokens on Hopper: the blocks of a cluster share the pieces of a row's keys, and
// join them through each other's shared memory.
#pragma once

#include "backend/cuda/kernels/attention_ring.cuh"
#include "backend/cuda/kernels/attention_shares.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {

inline constexpr int kTeams = 4;  // of a multiprocessor
static_assert(kJoinedAtOnce == 8);

struct Decode {
  PagedAttention attention;
  SplitSums sums;
  int chunks;        // of a key head's query heads
  int log_sharing;   // of the number of blocks of a cluster
  uint32_t* counts;  // of pieces that are done, of each row's heads; 0 before and after. Null: nobody joins
};

/// Sends what a piece comes to to the blocks of the cluster, to each its shares.
template <typename S>
struct ToCluster {
  Share<S>* shares;
  PhaseBarrier* arrived;
  int log_sharing;
  int piece;        // of the unit
  bool& must_wait;  // until the shares of the unit before have been joined

  __device__ void begin() {
    if (must_wait) wait_for_cluster();
    must_wait = false;
  }
  __device__ void put(int h, int dim, const float4& values, float highest, float sum) const {
    const int vector = h * S::kVectors + dim / 4;
    const int number = vector / Share<S>::kVectors;
    const int own = vector % Share<S>::kVectors;
    const int owner = number & ((1 << log_sharing) - 1);
    Share<S>& share = shares[number >> log_sharing];
    if (log_sharing == 0) {
      share.mixed[piece][own] = values;
      if (own == 0) share.stats[piece] = {highest, sum};
      return;
    }
    const uint32_t barrier = share::address_of_rank(arrived, owner);
    send_remote(share::address_of_rank(&share.mixed[piece][own], owner), barrier, values);
    if (own == 0)
      send_remote(share::address_of_rank(&share.stats[piece], owner), barrier, float2{highest, sum});
  }
};

/// Compute capability 9.0: every block is a team, and the blocks of a cluster share the pieces of a unit: a
/// row's for the heads of an item, or kJoinedAtOnce of them.
template <typename S>
__global__ void __launch_bounds__(kTeam, kTeams) attend_together(const __grid_constant__ Decode decode) {
#if __CUDA_ARCH__ >= 900
  using Ring = PieceRing<S, UnitWalk>;
  extern __shared__ float4 memory[];
  __shared__ PieceScratch<S> scratch;
  __shared__ PhaseBarrier arrived;
  Share<S>* shares = reinterpret_cast<Share<S>*>(memory + Ring::kBytes / 16);
  const PagedAttention& a = decode.attention;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int rank = rank_in_cluster();
  const int sharing = 1 << decode.log_sharing;
  begin_next_kernel();
  if (thread == 0) begin_barrier(&arrived, 1);
  fence_barriers();
  __syncthreads();
  if (sharing > 1) arrive_relaxed();
  // Until inputs are there: what the step was given, and keys and values older than it (linear_overlap.cuh).
  UnitWalk walk(a, decode.chunks, rank, sharing, static_cast<int>(blockIdx.x) >> decode.log_sharing,
                static_cast<int>(gridDim.x) >> decode.log_sharing);
  Ring ring(walk, thread, memory);
  ring.ask_for_old(a);
  if (sharing > 1) wait_for_cluster();
  wait_for_inputs();
  const int group = a.heads / a.kv_heads;
  bool must_wait = false;
  int turn = thread / kWarp;  // which of the block's shares this warp joins first
  int phase = 0;
#pragma unroll 1
  while (!walk.done()) {
    const PieceItem unit = walk.item<S>();
    const int number = walk.number_of_heads();
    const int groups = walk.units();
    const int all_pieces = walk.pieces();
    const int first_piece = unit.piece.split / kJoinedAtOnce * kJoinedAtOnce;
    const int pieces = min(kJoinedAtOnce, all_pieces - first_piece);
    const int64_t head = int64_t{unit.piece.row} * a.heads + unit.kv_head * group + unit.head_in_group;
    const int heads = min(S::kHeads, group - unit.head_in_group);
    bool is_more = true;
#pragma unroll 1
    while (is_more) {
      ring.come_to_item(a);
      const PieceItem item = walk.item<S>();
      is_more = walk.next(a, pieces);
      ring.look_ahead();
      const int piece = item.piece.split - first_piece;
      ToCluster<S> sums{shares, &arrived, decode.log_sharing, piece, must_wait};
      if (piece < pieces)
        attend_piece<S>(a, item, a.q + head * S::kHeadDim, thread, scratch, ring, sums);
      else
        sums.begin();
    }
    if (all_pieces == 1) continue;
    // Each of the block's shares is joined by a warp.
    const int share_of_heads = heads * S::kVectors / Share<S>::kVectors;  // shares that are there
    const int own_shares =
        share_of_heads > rank ? ((share_of_heads - 1 - rank) >> decode.log_sharing) + 1 : 0;
    if (sharing == 1) {
      __syncthreads();
    } else if (own_shares > 0) {
      if (thread == 0) arrive_expecting(&arrived, own_shares * pieces * Share<S>::kBytes);
      if (turn < own_shares) wait_for_phase(&arrived, phase);
      phase ^= 1;
    }
#pragma unroll 1
    for (int i = turn; i < own_shares; i += kTeamWarps) {
      const int own_lane = min(lane, Share<S>::kVectors - 1);
      const int number_of_share = (i << decode.log_sharing) + rank;
      const int vector = number_of_share * Share<S>::kVectors + own_lane;
      const int64_t own_head = head + vector / S::kVectors;
      const int dim = vector % S::kVectors * 4;
      const auto [mixed, max, sum] = share::join(
          pieces, [&](int p) { return shares[i].stats[p]; },
          [&](int p) { return shares[i].mixed[p][own_lane]; });
      const bool writes = lane < Share<S>::kVectors;
      if (groups == 1) {
        if (writes) put_output(a, own_head * S::kHeadDim + dim, piece::scaled(mixed, 1.0F / sum));
        continue;
      }
      if (writes) {
        const int64_t place = own_head * decode.sums.most_splits + first_piece / kJoinedAtOnce;
        *reinterpret_cast<float4*>(decode.sums.mixed + place * S::kHeadDim + dim) = mixed;
        decode.sums.stats[place] = {max, sum};  // the same by all shares of a head, each for its reader
      }
      if (decode.counts == nullptr) continue;
      uint32_t* count = decode.counts + number * kJoinedAtOnce + number_of_share;
      __syncwarp();
      uint32_t before = 0;
      if (lane == 0) before = share::count_up(count);
      before = __shfl_sync(0xffffffff, before, 0);
      if (before + 1 != static_cast<uint32_t>(groups)) continue;
      if (lane == 0) *count = 0;  // nobody else comes
      join_groups<S>(a, decode.sums, own_head, groups, dim, writes);
    }
    turn = (turn + 1) % kTeamWarps;
    // A block alone needs no more: its threads meet before they put the next sums there.
    if (walk.done() || sharing == 1) continue;
    __syncwarp();
    arrive_relaxed();
    must_wait = true;
  }
  if (must_wait) wait_for_cluster();
  clear_padding(a);
#endif
}

/// Where nobody counted: joins the groups of a row's pieces. A block for the heads of an item, a warp a
/// share.
template <typename S>
__global__ void __launch_bounds__(kJoinedAtOnce* kWarp)
    join_all_groups(const __grid_constant__ Decode decode) {
  __shared__ AttentionRow row;
  const PagedAttention& a = decode.attention;
  begin_next_kernel();
  const int of_row = a.kv_heads * decode.chunks;
  const int row_number = static_cast<int>(blockIdx.x) / of_row;
  const int item = static_cast<int>(blockIdx.x) % of_row;
  const bool is_row = find_row(a, row_number, row);
  wait_for_inputs();
  if (!is_row) return;
  const int splits = splits_of(row.keys(), a.kv_heads);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int vector =
      static_cast<int>(threadIdx.x) / kWarp * Share<S>::kVectors + min(lane, Share<S>::kVectors - 1);
  const int group = a.heads / a.kv_heads;
  const int head_in_group = item % decode.chunks * S::kHeads + vector / S::kVectors;
  if (splits <= kJoinedAtOnce || vector >= Share<S>::kAll || head_in_group >= group) return;
  const int64_t head = int64_t{row_number} * a.heads + item / decode.chunks * group + head_in_group;
  join_groups<S>(a, decode.sums, head, (splits - 1) / kJoinedAtOnce + 1, vector % S::kVectors * 4,
                 lane < Share<S>::kVectors);
}

}  // namespace ingot::cuda
