// Keys and values of pieces on their way through shared memory by the copy engine (sm_90). A warp has a ring
// of its own, which goes on from a piece to the next: it never runs dry between them.
#pragma once

#include "backend/cuda/kernels/attention_pieces.cuh"
#include "backend/cuda/kernels/bulk_copies.cuh"

namespace ingot::cuda {

/// What a team's rings lie in. A stage has the keys, or the values, of a warp of one batch.
template <typename S, int kStages>
struct BulkRingMemory {
  float4 stages[kTeamWarps][kStages][S::kWarpKeys * S::kVectors];
  PhaseBarrier arrived[kTeamWarps][kStages];
};

/// Of a warp, whose lanes all call it. `Walk`: PieceWalk.
template <typename S, int kStages, typename Walk>
class BulkRing {
 public:
  using Memory = BulkRingMemory<S, kStages>;

  /// By all threads of the team; a barrier of the team is to follow.
  __device__ static void begin(Memory& memory, int thread) {
    if (thread < kTeamWarps * kStages) begin_barrier(&memory.arrived[0][0] + thread, 1);
  }

  /// `walk`: stands at the first item. `rank`: of the pieces of its items.
  __device__ __forceinline__ BulkRing(const PagedAttention& a, const Walk& walk, int rank, int thread,
                                      Memory& memory)
      : walk_(walk),
        rank_(rank),
        warp_(thread / kWarp),
        lane_(thread % kWarp),
        stages_(memory.stages[warp_][0]),
        arrived_(memory.arrived[warp_]) {
    keys_.batches = 0;
    may_enter_ = !walk.done();
  }

  /// Before the kernel's inputs are there: asks for stages whose keys and values are older than the step.
  __device__ __forceinline__ void ask_for_old(const PagedAttention& a) {
    if (!may_enter_) return;
    const int sequence = walk_.template item<S>(rank_).piece.place.sequence;
    const int rows = a.seq_start[sequence + 1] - a.seq_start[sequence];
    enter(a);
    const int old = a.context_len[sequence] - rows - keys_.begin;  // keys of the piece
#pragma unroll 1
    while (asked_ < kStages && batch_ < keys_.batches &&
           min(batch_ * S::kTeamKeys + (warp_ + 1) * S::kWarpKeys, keys_.count) <= old)
      ask(a);
  }
  /// The walk's item is attended to next: asks for as many stages as there is room for.
  __device__ __forceinline__ void come_to_item(const PagedAttention& a) {
    if (may_enter_) enter(a);
#pragma unroll 1
    while (asked_ < kStages && batch_ < keys_.batches) ask(a);
  }
  /// The walk has gone on to an item of which stages may be asked for once this one's have been, or is done.
  __device__ __forceinline__ void look_ahead() { may_enter_ = !walk_.done(); }

  __device__ __forceinline__ void start(const PagedAttention&, const WarpKeys<S>&) {}
  /// The next stage, keys and values in turn.
  __device__ __forceinline__ void read(const PagedAttention& a, bool, piece::Vectors<S>& to) {
    wait_for_phase(arrived_ + read_slot_, phase_);
    const float4* from = stages_ + read_slot_ * (S::kWarpKeys * S::kVectors) +
                         lane_ / S::kLanes * S::kVectors + lane_ % S::kLanes;
#pragma unroll
    for (int k = 0; k < S::kKeys; ++k) {
#pragma unroll
      for (int part = 0; part < S::kParts; ++part)
        to[k][part] = from[k * S::kGroups * S::kVectors + part * S::kLanes];
    }
    if (++read_slot_ == kStages) {
      read_slot_ = 0;
      phase_ ^= 1;
    }
    --asked_;
    __syncwarp();  // the slot has been read
    if (batch_ == keys_.batches && may_enter_) enter(a);
    if (batch_ < keys_.batches) ask(a);
  }

 private:
  __device__ __forceinline__ void enter(const PagedAttention& a) {
    may_enter_ = false;
    keys_ = WarpKeys<S>(a, walk_.template item<S>(rank_), warp_);
    batch_ = 0;
    values_ = false;
    if (keys_.batches > 0) found_ = keys_.find(a, 0, warp_, lane_);
  }
  __device__ __forceinline__ void ask(const PagedAttention& a) {
    constexpr int kKeyBytes = S::kHeadDim * 4;
    float4* to = stages_ + asked_slot_ * (S::kWarpKeys * S::kVectors);
    PhaseBarrier* arrived = arrived_ + asked_slot_;
    const float* cache = values_ ? a.values : a.keys;
    const uint32_t first = __shfl_sync(0xffffffff, found_, 0);
    const int key = lane_ % S::kWarpKeys;
    const bool together = __all_sync(0xffffffff, found_ == first + static_cast<uint32_t>(key)) != 0;
    if (lane_ == 0) arrive_expecting(arrived, S::kWarpKeys * kKeyBytes);
    if (together) {  // neighbours on a page
      if (lane_ == 0)
        copy_bulk(to, cache + static_cast<uint64_t>(first) * S::kHeadDim, S::kWarpKeys * kKeyBytes, arrived);
    } else if (lane_ < S::kWarpKeys) {
      copy_bulk(to + key * S::kVectors, cache + static_cast<uint64_t>(found_) * S::kHeadDim, kKeyBytes,
                arrived);
    }
    if (values_ && ++batch_ < keys_.batches) found_ = keys_.find(a, batch_, warp_, lane_);
    values_ = !values_;
    ++asked_;
    asked_slot_ = asked_slot_ + 1 == kStages ? 0 : asked_slot_ + 1;
  }

  const Walk& walk_;
  int rank_;
  int warp_;
  int lane_;
  float4* stages_;
  PhaseBarrier* arrived_;
  WarpKeys<S> keys_;     // of the item that is asked for
  int batch_ = 0;        // of the stage that is asked for next
  bool values_ = false;  // what it has
  bool may_enter_;       // the walk's item may be asked for, and has not been
  uint32_t found_ = 0;   // the batch's keys
  int asked_ = 0;        // stages that have not been read
  int asked_slot_ = 0;
  int read_slot_ = 0;
  int phase_ = 0;
};

}  // namespace ingot::cuda
