// Keys and values of a piece on their way through shared memory. Every thread reads only what it copied
// itself: no barrier.
#pragma once

#include "backend/cuda/kernels/async_copies.cuh"
#include "backend/cuda/kernels/attention_piece.cuh"

namespace ingot::cuda {

/// Of a thread. A stage has the keys, or the values, of one batch.
template <typename S, int kStages>
class PieceRing {
 public:
  static constexpr int kBytes = kStages * S::kStageBytes;  // of a team

  /// `memory`: of the team, at a multiple of 16.
  __device__ __forceinline__ PieceRing(int thread, float4* memory) : thread_(thread), own_(memory + thread) {}

  /// The first stages are on their way.
  __device__ __forceinline__ void start(const PagedAttention& a, const WarpKeys<S>& keys) {
    keys_ = keys;
    batch_ = 0;
    asked_slot_ = 0;
    read_slot_ = 0;
    if (batch_ < keys_.batches) found_ = keys_.find(a, 0, thread_ / kWarp, thread_ % kWarp);
#pragma unroll 1
    for (int stage = 0; stage < kStages - 1; ++stage) ask(a, stage % 2 != 0);
  }
  /// The next stage, which has values, or else keys.
  __device__ __forceinline__ void read(const PagedAttention& a, bool values, piece::Vectors<S>& to) {
    ask(a, values == (kStages % 2 != 0));
    wait_for_copies<kStages - 1>();
    const float4* from = own_ + read_slot_ * (S::kStageVectors * kTeam);
#pragma unroll
    for (int k = 0; k < S::kKeys; ++k) {
#pragma unroll
      for (int part = 0; part < S::kParts; ++part) to[k][part] = from[(k * S::kParts + part) * kTeam];
    }
    read_slot_ = read_slot_ + 1 == kStages ? 0 : read_slot_ + 1;
  }

 private:
  __device__ __forceinline__ void ask(const PagedAttention& a, bool values) {
    if (batch_ < keys_.batches) {
      float4* to = own_ + asked_slot_ * (S::kStageVectors * kTeam);
      const float* cache = values ? a.values : a.keys;
#pragma unroll
      for (int k = 0; k < S::kKeys; ++k) {
        const float* from = piece::address<S>(cache, found_, k, thread_ % kWarp);
#pragma unroll
        for (int part = 0; part < S::kParts; ++part)
          copy_async<16>(to + (k * S::kParts + part) * kTeam, from + part * 4 * S::kLanes, true);
      }
      if (values && ++batch_ < keys_.batches)
        found_ = keys_.find(a, batch_, thread_ / kWarp, thread_ % kWarp);
      asked_slot_ = asked_slot_ + 1 == kStages ? 0 : asked_slot_ + 1;
    }
    commit_copies();
  }

  int thread_;
  float4* own_;
  WarpKeys<S> keys_;
  int batch_;       // of the stage that is asked for next
  uint32_t found_;  // its keys
  int asked_slot_;
  int read_slot_;
};

}  // namespace ingot::cuda
