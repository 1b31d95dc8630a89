// A warp's stream of weights through its ring in shared memory: slot after slot, in the order in which the
// warp will multiply them, from tile to tile and from instruction to instruction.
//
// A warp has two neighbouring slices of K. A slot is 2 KiB: of each slice 16 weight rows x 32 values of k, or
// 8 rows x 64. Each lane copies what it reads itself (linear_fragments.cuh), so that only its own copies have
// to have landed.
#pragma once

#include "backend/cuda/kernels/linear_fragments.cuh"
#include "backend/cuda/kernels/linear_slices.cuh"
#include "backend/cuda/kernels/step_program.h"

namespace ingot::cuda {

inline constexpr int kSlotPieces = 4;
inline constexpr int kSlotBytes = kSlotPieces * kPieceBytes;
inline constexpr int kMostSlots = 10;  // of a warp's ring; even
inline constexpr int kWarpSlices = 2;
inline constexpr int kProductWarps = kSlices / kWarpSlices;
inline constexpr int kKeptInstructions = 8;  // in shared memory, the current one included

/// Log2 of a tile's outputs.
__device__ inline int tile_shift(const StepLinear& linear) {
  return linear.epilogue.gated || linear.halves == 1 ? 3 : 4;
}
/// Steps of a slice in a slot.
__device__ inline int slot_steps(bool is_tall) {
  return is_tall ? 1 : 2;
}

/// A warp's slices: the second follows the first.
struct SlicePair {
  int begin;
  int steps[kWarpSlices];
  __device__ int most() const { return max(steps[0], steps[1]); }
};
__device__ inline SlicePair slices_of(int in, int warp) {
  const Slice first = slice_of(in, kWarpSlices * warp);
  return {first.begin, {first.steps, slice_of(in, kWarpSlices * warp + 1).steps}};
}

/// Waits until at most `left` of the thread's latest groups, or fewer, are on their way.
__device__ __forceinline__ void wait_for_most(int left) {
  if (left >= 9) {
    wait_for_copies<9>();
  } else if (left >= 7) {
    wait_for_copies<7>();
  } else if (left >= 5) {
    wait_for_copies<5>();
  } else if (left >= 3) {
    wait_for_copies<3>();
  } else if (left >= 1) {
    wait_for_copies<1>();
  } else {
    wait_for_copies<0>();
  }
}

/// A block's tiles of a linear, one after another.
class TileWalk {
 public:
  __device__ explicit TileWalk(const StepLinear& linear) : tile_(static_cast<int>(blockIdx.x)) {
    find(linear);
  }
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
  __device__ __forceinline__ void fill() {
    while (asked_ - taken_ < slots_) {
      if (step_ >= steps_ && !find_next()) return;
      ask();
    }
  }
  /// Where this lane's part of the oldest slot is, once it has landed.
  __device__ __forceinline__ uint32_t take() {
    if (asked_ == taken_) fill();  // it was not known yet when the ring had room for it
    wait_for_most(asked_ - taken_ - 1);
    return ring_ + static_cast<uint32_t>(read_);
  }
  /// The oldest slot has been read.
  __device__ __forceinline__ void give_back() {
    ++taken_;
    read_ += kSlotBytes;
    if (read_ == slots_ * kSlotBytes) read_ = 0;
    fill();
  }

  /// Finds everything again that follows from how far the stream is: to be called where registers were needed
  /// for something else.
  __device__ __forceinline__ void resume(char* ring) {
    ring_ = shared_address(ring) + static_cast<uint32_t>(threadIdx.x) % kWarp * 16;
    policy_ = weights_policy(true);
    write_ = asked_ % slots_ * kSlotBytes;
    read_ = taken_ % slots_ * kSlotBytes;
    if (step_ >= steps_) return;
    const StepLinear& linear = kept(instruction_).as<StepLinear>();
    const int step = step_;
    aim(linear, slices_of(linear.in, warp_));
    step_ = step;
    from_ += step * (kStep * 2);
    left_ -= step * kStep;
  }

 private:
  __device__ const StepInstruction& kept(int instruction) const {
    return kept_[instruction % kKeptInstructions];
  }
  /// Aims at the next tile; false where there is none, or it is not known yet.
  __device__ __forceinline__ bool find_next() {
    for (; instruction_ < end_; ++instruction_, tile_ = -1) {
      const StepInstruction& next = kept(instruction_);
      if (next.kind != StepKind::linear) continue;
      const StepLinear& linear = next.as<StepLinear>();
      const SlicePair slices = slices_of(linear.in, warp_);
      if (slices.most() == 0) continue;
      if (tile_ < 0) {
        tile_ = static_cast<int>(blockIdx.x);
        part_ = 0;
      } else {
        tile_ += static_cast<int>(gridDim.x);
      }
      if (tile_ >= linear.tiles) continue;
      while (part_ + 1 < linear.part_count && tile_ >= linear.parts[part_ + 1].first_tile) ++part_;
      aim(linear, slices);
      return true;
    }
    return false;
  }
  __device__ __forceinline__ void aim(const StepLinear& linear, const SlicePair& slices) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const StepPart& part = linear.parts[part_];
    const bool gated = linear.epilogue.gated;
    const int first_output = (tile_ - part.first_tile) << tile_shift(linear);
    const int first = min(first_output + lane / 4, part.outputs - 1);
    const int second = gated ? first : min(first_output + kPieceRows + lane / 4, part.outputs - 1);
    const int k = slices.begin * kStep + lane % 4 * 8;
    left_ = linear.in - k;
    from_ = static_cast<const char*>(part.weight) + (static_cast<int64_t>(first) * linear.in + k) * 2;
    is_tall_ = linear.halves == 2;
    const char* high = static_cast<const char*>(gated ? part.up : part.weight) +
                       (static_cast<int64_t>(second) * linear.in + k) * 2;
    to_second_ = is_tall_ ? high - from_ : kStep * 2;
    first_steps_ = slices.steps[0];
    second_steps_ = slices.steps[1];
    steps_ = slices.most();
    step_ = 0;
  }
  /// Of each slice two pieces: a step of the rows and one of the rows 8 further on, or two steps.
  __device__ __forceinline__ void ask() {
    const uint32_t to = ring_ + static_cast<uint32_t>(write_);
    const int next = is_tall_ ? step_ : step_ + 1;
    const int before = first_steps_;
    const char* second = from_ + before * (kStep * 2);
    copy_weights(to, from_, step_ < before && left_ > 0 ? 16 : 0, policy_);
    copy_weights(to + kPieceBytes, from_ + to_second_,
                 next < before && left_ > (next - step_) * kStep ? 16 : 0, policy_);
    copy_weights(to + 2 * kPieceBytes, second, step_ < second_steps_ && left_ > before * kStep ? 16 : 0,
                 policy_);
    copy_weights(to + 3 * kPieceBytes, second + to_second_,
                 next < second_steps_ && left_ > (before + next - step_) * kStep ? 16 : 0, policy_);
    commit_copies();
    const int steps = next - step_ + 1;
    from_ += steps * (kStep * 2);
    left_ -= steps * kStep;
    step_ = next + 1;
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
  int left_ = 0;         // values of k from this lane's next ones of the first slice to the end of the row
  int first_steps_ = 0;  // of the slices
  int second_steps_ = 0;
  int steps_ = 0;  // the larger of both
  int step_ = 0;   // that is asked for next
  const char* from_ = nullptr;
  int64_t to_second_ = 0;  // bytes from a slice's first piece of a slot to its second

  int asked_ = 0;
  int taken_ = 0;
  int write_ = 0;
  int read_ = 0;
};

}  // namespace ingot::cuda
