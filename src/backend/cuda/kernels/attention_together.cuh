// Attention for generated tokens on Hopper where a step has few pieces: the blocks of a cluster have a piece
// each of a row's keys, for some heads, and join them through each other's shared memory. Each joins a share
// of what is to be joined; a block sends every other block what that one joins.
#pragma once

#include "backend/cuda/kernels/attention_ring.cuh"
#include "backend/cuda/kernels/attention_shares.cuh"
#include "backend/cuda/kernels/bulk_copies.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {

/// Sends what a piece comes to to the blocks of the cluster, to each its share.
template <typename S>
struct ToCluster {
  Share<S>& share;
  PhaseBarrier& arrived;
  int piece;

  __device__ void put(int h, int dim, const float4& values, float highest, float sum) const {
    const int vector = h * S::kVectors + dim / 4;
    const int owner = vector / Share<S>::kVectors;
    const int own = vector % Share<S>::kVectors;
    const uint32_t barrier = remote(&arrived, owner);
    send_remote(remote(&share.mixed[piece][own], owner), barrier, values);
    if (own == 0) send_remote(remote(&share.stats[piece], owner), barrier, float2{highest, sum});
  }

 private:
  __device__ static uint32_t remote(const void* shared, int rank) {
    return address_of_rank(static_cast<uint32_t>(__cvta_generic_to_shared(shared)), rank);
  }
};

/// Has the compiler find numbers and addresses here, not where they are used.
template <typename... Values>
__device__ __forceinline__ void find_now(Values&... values) {
  const auto find = [](auto& value) {
    if constexpr (sizeof(value) == 8) {
      asm volatile("" : "+l"(value));
    } else {
      asm volatile("" : "+r"(value));
    }
  };
  (find(values), ...);
}

/// Compute capability 9.0: every block is a team, every cluster has an item.
template <typename S>
__global__ void __launch_bounds__(kTeam, kTeams) attend_together(const __grid_constant__ Decode decode) {
#if __CUDA_ARCH__ >= 900
  using Ring = PieceRing<S, OnePiece>;
  extern __shared__ float4 memory[];
  __shared__ PieceScratch<S> scratch;
  __shared__ Share<S> own_share;
  __shared__ PhaseBarrier arrived;
  const PagedAttention& a = decode.attention;
  const int thread = static_cast<int>(threadIdx.x);
  const int rank = rank_in_cluster();
  begin_next_kernel();
  if (thread == 0) begin_barrier(&arrived, 1);
  fence_barriers();
  __syncthreads();
  arrive_relaxed();
  // Until inputs are there: what the step was given, and keys and values older than it (linear_overlap.cuh).
  const OnePiece own(a, decode.chunks, static_cast<int>(blockIdx.x) / kJoinedAtOnce,
                     static_cast<int>(gridDim.x) / kJoinedAtOnce, rank);
  Ring ring(own, thread, memory);
  ring.ask_for_old(a);
  int first_padding = rows_of_sequences(a);
  if (own.done()) {
    wait_for_cluster();
    wait_for_inputs();
    return clear_padding(a, first_padding);
  }
  // All numbers that the piece needs are found here, too: behind the inputs it would wait for them.
  PieceItem item = own.item<S>();
  int pieces = splits_of(a, item.piece.place.keys());
  const int group = a.heads / a.kv_heads;
  int64_t head = int64_t{item.piece.row} * a.heads + item.kv_head * group + item.head_in_group;
  int heads = min(S::kHeads, group - item.head_in_group);
  WarpKeys<S> keys(a, item, thread / kWarp);
  find_now(first_padding, pieces, head, heads, item.piece.row);
  find_now(keys.pages, keys.kv_head, keys.begin, keys.count, keys.batches);
  wait_for_cluster();
  wait_for_inputs();
  if (rank < pieces)
    attend_piece<S>(a, item, keys, a.q + head * S::kHeadDim, thread, scratch, ring,
                    ToCluster<S>{own_share, arrived, rank});
  clear_padding(a, first_padding);
  // A warp joins the block's share, where its head is there.
  const int first = rank * Share<S>::kVectors;
  if (pieces == 1 || thread >= kWarp || first >= heads * S::kVectors) return;
  if (thread == 0) arrive_expecting(&arrived, pieces * Share<S>::kBytes);
  __syncwarp();
  wait_for_phase(&arrived, 0);
  const int lane = min(thread, Share<S>::kVectors - 1);
  const auto joined = share::join(
      pieces, [&](int p) { return own_share.stats[p]; }, [&](int p) { return own_share.mixed[p][lane]; });
  if (thread < Share<S>::kVectors)
    put_output(a, head * S::kHeadDim + (first + lane) * 4, piece::scaled(joined.mixed, 1.0F / joined.sum));
#endif
}

}  // namespace ingot::cuda
