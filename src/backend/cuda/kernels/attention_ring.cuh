// Keys and values of a team's pieces on their way through shared memory. Every thread reads only what it
// copied itself: no barrier. The ring goes on from a piece to the next, so that copies are on their way while
// a piece is brought to its end.
#pragma once

#include "backend/cuda/kernels/async_copies.cuh"
#include "backend/cuda/kernels/attention_pieces.cuh"

namespace ingot::cuda {

/// Of a thread; warps call it together. It holds the batch that is attended to and the next. `Walk`:
/// PieceWalk.
template <typename S, typename Walk>
class PieceRing {
 public:
  static constexpr int kBatches = 2;
  static constexpr int kBytes = kBatches * 2 * S::kStageBytes;  // of a team

  /// `walk`: stands at the first item. `memory`: of the team, at a multiple of 16.
  __device__ __forceinline__ PieceRing(const Walk& walk, int thread, float4* memory)
      : walk_(walk), thread_(thread), own_(memory + thread), may_enter_(!walk.done()) {
    keys_.batches = 0;
  }

  /// Before the kernel's inputs are there: asks for batches whose keys and values are older than the step.
  __device__ __forceinline__ void ask_for_old(const PagedAttention& a) {
    if (!may_enter_) return;
    const int sequence = walk_.template item<S>().piece.place.sequence;
    const int rows = a.seq_start[sequence + 1] - a.seq_start[sequence];
    enter(a);
    const int old = a.context_len[sequence] - rows - keys_.begin;  // keys of the piece
#pragma unroll 1
    while (asked_ < kBatches && batch_ < keys_.batches &&
           min(batch_ * S::kTeamKeys + (thread_ / kWarp + 1) * S::kWarpKeys, keys_.count) <= old)
      ask(a);
  }
  /// The walk's item is attended to next.
  __device__ __forceinline__ void come_to_item(const PagedAttention& a) {
    if (may_enter_) enter(a);
  }
  /// The walk has gone on to an item of which batches may be asked for once this one's have been, or is done.
  __device__ __forceinline__ void look_ahead() { may_enter_ = !walk_.done(); }

  /// Goes to the next batch: the room of the one before has been read.
  __device__ __forceinline__ void next(const PagedAttention& a) {
#pragma unroll 1
    while (asked_ < kBatches) {
      if (batch_ == keys_.batches) {
        if (!may_enter_) break;
        enter(a);
        if (keys_.batches == 0) break;
      }
      ask(a);
    }
  }
  __device__ __forceinline__ void read_keys(piece::Vectors<S>& to) const {
    if (asked_ == 1) {
      wait_for_copies<1>();
    } else {
      wait_for_copies<3>();
    }
    read(own_ + slot_ * kBatchVectors, to);
  }
  __device__ __forceinline__ void read_values(piece::Vectors<S>& to) {
    if (asked_ == 1) {
      wait_for_copies<0>();
    } else {
      wait_for_copies<2>();
    }
    read(own_ + slot_ * kBatchVectors + S::kStageVectors * kTeam, to);
    --asked_;
    slot_ ^= 1;
  }

 private:
  static constexpr int kBatchVectors = 2 * S::kStageVectors * kTeam;

  /// 16 bytes, which the second-level cache need not keep: a step reads them once, or the parts of a group of
  /// query heads do together. Memory is asked for 128 bytes at a time, which is up to 17 % faster (16/8
  /// heads).
  __device__ __forceinline__ static void copy_vector(float4* shared, const float* global) {
    uint64_t policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("cp.async.cg.shared.global.L2::cache_hint.L2::128B [%0], [%1], 16, %2;" ::"r"(
                     static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
                 "l"(global), "l"(policy)
                 : "memory");
  }
  __device__ __forceinline__ static void read(const float4* from, piece::Vectors<S>& to) {
#pragma unroll
    for (int k = 0; k < S::kKeys; ++k) {
#pragma unroll
      for (int part = 0; part < S::kParts; ++part) to[k][part] = from[(k * S::kParts + part) * kTeam];
    }
  }
  __device__ __forceinline__ void enter(const PagedAttention& a) {
    may_enter_ = false;
    keys_ = WarpKeys<S>(a, walk_.template item<S>(), thread_ / kWarp);
    batch_ = 0;
    if (keys_.batches > 0) found_ = keys_.find(a, 0, thread_ / kWarp, thread_ % kWarp);
  }
  __device__ __forceinline__ void ask(const PagedAttention& a) {
    float4* to = own_ + (slot_ ^ asked_) * kBatchVectors;
    uint64_t from[S::kKeys];
#pragma unroll
    for (int k = 0; k < S::kKeys; ++k) from[k] = piece::offset<S>(found_, k, thread_ % kWarp);
#pragma unroll
    for (int values = 0; values < 2; ++values) {
      const float* cache = values != 0 ? a.values : a.keys;
#pragma unroll
      for (int k = 0; k < S::kKeys; ++k) {
#pragma unroll
        for (int part = 0; part < S::kParts; ++part)
          copy_vector(to + (values * S::kStageVectors + k * S::kParts + part) * kTeam,
                      cache + from[k] + part * 4 * S::kLanes);
      }
      commit_copies();
    }
    ++asked_;
    if (++batch_ < keys_.batches) found_ = keys_.find(a, batch_, thread_ / kWarp, thread_ % kWarp);
  }

  const Walk& walk_;
  int thread_;
  float4* own_;
  WarpKeys<S> keys_;    // of the item that is asked for
  int batch_ = 0;       // that is asked for next
  uint32_t found_ = 0;  // its keys
  int asked_ = 0;       // batches that have not been read
  int slot_ = 0;        // of the batch that is read next
  bool may_enter_;      // the walk's item may be asked for, and has not been
};

}  // namespace ingot::cuda
