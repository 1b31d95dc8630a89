// A warp's stream of weights through its ring in shared memory: slot after slot, in the order in which the
// warp will multiply them, from tile to tile and from instruction to instruction.
//
// A slot is 2 KiB: 16 weight rows x 64 values of k, or 8 rows x 128. Each lane copies what it reads itself
// (linear_fragments.cuh), so that only its own copies have to have landed.
#pragma once

#include "backend/cuda/kernels/linear_fragments.cuh"
#include "backend/cuda/kernels/linear_slices.cuh"
#include "backend/cuda/kernels/step_program.h"

namespace ingot::cuda {

inline constexpr int kSlotPieces = 4;
inline constexpr int kSlotBytes = kSlotPieces * kPieceBytes;
inline constexpr int kMostSlots = 6;         // of a warp's ring
inline constexpr int kKeptInstructions = 8;  // in shared memory, the current one included

/// Log2 of a tile's outputs.
__device__ inline int tile_shift(const StepLinear& linear) {
  return linear.epilogue.gated || linear.halves == 1 ? 3 : 4;
}
/// Steps of k in a slot.
__device__ inline int slot_steps(bool is_tall) {
  return is_tall ? kSlotPieces / 2 : kSlotPieces;
}

/// A block's tiles of a linear, one after another.
class TileWalk {
 public:
  __device__ explicit TileWalk(const StepLinear& linear) : tile_(static_cast<int>(blockIdx.x)) { find(linear); }
  __device__ bool is_done(const StepLinear& linear) const { return tile_ >= linear.tiles; }
  __device__ void next(const StepLinear& linear) {
    tile_ += static_cast<int>(gridDim.x);
    find(linear);
  }
  __device__ int part() const { return part_; }
  __device__ int first_output(const StepLinear& linear) const {
    return (tile_ - linear.parts[part_].first_tile) << tile_shift(linear);
  }

 private:
  __device__ void find(const StepLinear& linear) {
    while (part_ + 1 < linear.part_count && tile_ >= linear.parts[part_ + 1].first_tile) ++part_;
  }
  int tile_;
  int part_ = 0;
};

class WeightStream {
 public:
  /// `ring`: the warp's, of `slots` slots. `kept`: instruction i at i % kKeptInstructions.
  __device__ WeightStream(char* ring, int slots, const StepInstruction* kept, int count, int warp)
      : kept_(kept),
        ring_(shared_address(ring) + static_cast<uint32_t>(threadIdx.x) % kWarp * 16),
        slots_(slots),
        count_(count),
        warp_(warp),
        policy_(weights_policy(true)) {}

  /// Instructions before `end` are in shared memory.
  __device__ void set_end(int end) { end_ = min(end, count_); }

  /// Asks for weights as long as there is room in the ring.
  __device__ void fill() {
    while (asked_ - taken_ < slots_) {
      if (steps_ <= 0 && !find_next()) return;
      ask();
    }
  }
  /// Where this lane's part of the oldest slot is, once it has landed.
  __device__ uint32_t take() {
    const int on_their_way = asked_ - taken_;
    if (on_their_way == 6) {
      wait_for_copies<5>();
    } else if (on_their_way == 5) {
      wait_for_copies<4>();
    } else if (on_their_way == 4) {
      wait_for_copies<3>();
    } else {
      if (on_their_way == 0) fill();  // it was not known yet when the ring had room for it
      wait_for_copies<0>();
    }
    return ring_ + static_cast<uint32_t>(read_);
  }
  /// The oldest slot has been read.
  __device__ void give_back() {
    ++taken_;
    read_ += kSlotBytes;
    if (read_ == slots_ * kSlotBytes) read_ = 0;
    fill();
  }

 private:
  __device__ const StepInstruction& kept(int instruction) const {
    return kept_[instruction % kKeptInstructions];
  }
  /// Aims at the next tile; false where there is none, or it is not known yet.
  __device__ bool find_next() {
    for (; instruction_ < end_; ++instruction_, tile_ = -1) {
      const StepInstruction& next = kept(instruction_);
      if (next.kind != StepKind::linear) continue;
      const StepLinear& linear = next.as<StepLinear>();
      const Slice slice = slice_of(linear.in, warp_);
      if (slice.steps == 0) continue;
      if (tile_ < 0) {
        tile_ = static_cast<int>(blockIdx.x);
        part_ = 0;
      } else {
        tile_ += static_cast<int>(gridDim.x);
      }
      if (tile_ >= linear.tiles) continue;
      while (part_ + 1 < linear.part_count && tile_ >= linear.parts[part_ + 1].first_tile) ++part_;
      aim(linear, slice);
      return true;
    }
    return false;
  }
  __device__ void aim(const StepLinear& linear, const Slice& slice) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const StepPart& part = linear.parts[part_];
    const bool gated = linear.epilogue.gated;
    const int first_output = (tile_ - part.first_tile) << tile_shift(linear);
    const int first = min(first_output + lane / 4, part.outputs - 1);
    const int second = gated ? first : min(first_output + kPieceRows + lane / 4, part.outputs - 1);
    const int k = slice.begin * kStep + lane % 4 * 8;
    left_ = linear.in - k;
    low_ = static_cast<const char*>(part.weight) + (static_cast<int64_t>(first) * linear.in + k) * 2;
    // A slot of one half has the next steps of the same rows in its other half.
    is_tall_ = linear.halves == 2;
    high_ = is_tall_ ? static_cast<const char*>(gated ? part.up : part.weight) +
                           (static_cast<int64_t>(second) * linear.in + k) * 2
                     : low_ + 2 * kStep * 2;
    steps_ = slice.steps;
  }
  /// Pieces: two steps of the low half, two of the high one.
  __device__ void ask() {
    const uint32_t to = ring_ + static_cast<uint32_t>(write_);
    const int half_steps = is_tall_ ? 0 : 2;  // from the low half's steps to the high half's
    const auto bytes = [&](int step) { return steps_ > step && left_ > step * kStep ? 16 : 0; };
    copy_weights(to, low_, bytes(0), policy_);
    copy_weights(to + kPieceBytes, low_ + kStep * 2, bytes(1), policy_);
    copy_weights(to + 2 * kPieceBytes, high_, bytes(half_steps), policy_);
    copy_weights(to + 3 * kPieceBytes, high_ + kStep * 2, bytes(half_steps + 1), policy_);
    commit_copies();
    const int steps = slot_steps(is_tall_);
    low_ += steps * (kStep * 2);
    high_ += steps * (kStep * 2);
    left_ -= steps * kStep;
    steps_ -= steps;
    ++asked_;
    write_ += kSlotBytes;
    if (write_ == slots_ * kSlotBytes) write_ = 0;
  }

  const StepInstruction* kept_;
  uint32_t ring_;
  int slots_;
  int count_;
  int warp_;
  uint64_t policy_;
  int end_ = 0;

  int instruction_ = 0;  // that is asked for
  int tile_ = -1;        // none yet
  int part_ = 0;
  bool is_tall_ = true;
  int left_ = 0;   // values of k from this lane's next ones to the end of the row
  int steps_ = 0;  // of the tile
  const char* low_ = nullptr;
  const char* high_ = nullptr;

  int asked_ = 0;
  int taken_ = 0;
  int write_ = 0;
  int read_ = 0;
};

}  // namespace ingot::cuda
