// Attention for generated tokens on Hopper where rows have few pieces: the blocks of a cluster share the
// pieces of a row's keys, and join them through each other's shared memory. A block sends every other block
// what that one joins. Of `sharing` blocks, each joins the shares rank, rank + sharing …
#pragma once

#include "backend/cuda/kernels/attention_ring.cuh"
#include "backend/cuda/kernels/attention_shares.cuh"
#include "backend/cuda/kernels/bulk_copies.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {

static_assert(kJoinedAtOnce == 8);

/// Sends what a piece comes to to the blocks of the cluster, to each its shares.
template <typename S>
struct ToCluster {
  Share<S>* shares;
  PhaseBarrier* arrived;
  int log_sharing;
  int piece;
  bool& must_wait;  // until the shares of the item before have been joined

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
    const uint32_t barrier = remote(arrived, owner);
    send_remote(remote(&share.mixed[piece][own], owner), barrier, values);
    if (own == 0) send_remote(remote(&share.stats[piece], owner), barrier, float2{highest, sum});
  }

 private:
  __device__ static uint32_t remote(const void* shared, int rank) {
    return address_of_rank(static_cast<uint32_t>(__cvta_generic_to_shared(shared)), rank);
  }
};

/// Compute capability 9.0: every block is a team, and the blocks of a cluster share the pieces of an item: a
/// row's, kJoinedAtOnce at most, for some heads.
template <typename S>
__global__ void __launch_bounds__(kTeam, kTeams) attend_together(const __grid_constant__ Decode decode) {
#if __CUDA_ARCH__ >= 900
  using Ring = PieceRing<S, SharedWalk>;
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
  SharedWalk walk(a, decode.chunks, rank, sharing, static_cast<int>(blockIdx.x) >> decode.log_sharing,
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
    const PieceItem first = walk.item<S>();
    const int pieces = walk.pieces();
    const int64_t head = int64_t{first.piece.row} * a.heads + first.kv_head * group + first.head_in_group;
    const int heads = min(S::kHeads, group - first.head_in_group);
    bool is_more = true;
#pragma unroll 1
    while (is_more) {
      ring.come_to_item(a);
      const PieceItem item = walk.item<S>();
      is_more = walk.next(a);
      ring.look_ahead();
      const int piece = item.piece.split;
      ToCluster<S> sums{shares, &arrived, decode.log_sharing, piece, must_wait};
      if (piece < pieces)
        attend_piece<S>(a, item, a.q + head * S::kHeadDim, thread, scratch, ring, sums);
      else
        sums.begin();
    }
    if (pieces == 1) continue;
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
      const auto joined = share::join(
          pieces, [&](int p) { return shares[i].stats[p]; },
          [&](int p) { return shares[i].mixed[p][own_lane]; });
      if (lane < Share<S>::kVectors)
        put_output(a, own_head * S::kHeadDim + dim, piece::scaled(joined.mixed, 1.0F / joined.sum));
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

}  // namespace ingot::cuda
