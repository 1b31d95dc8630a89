// A warp's stream of weights through its ring in shared memory: slot after slot, in the order in which the
// warp will multiply them, from tile to tile and from instruction to instruction.
//
// A slot is 1 KiB: 16 weight rows x 32 values of k, or 8 rows x 64. Each lane copies what it reads itself
// (linear_fragments.cuh), so that only its own copies have to have landed.
#pragma once

#include "backend/cuda/kernels/linear_fragments.cuh"
#include "backend/cuda/kernels/linear_slices.cuh"
#include "backend/cuda/kernels/step_program.h"

namespace ingot::cuda {

inline constexpr int kSlotBytes = 2 * kPieceBytes;
inline constexpr int kMostSlots = 12;        // of a warp's ring
inline constexpr int kKeptInstructions = 8;  // in shared memory, the current one included

struct StepTile {
  int part;
  int first_output;
};
__device__ inline int outputs_of_tile(const StepLinear& linear) {
  return linear.epilogue.gated ? kPieceRows : linear.halves * kPieceRows;
}
__device__ inline StepTile tile_of(const StepLinear& linear, int tile) {
  int part = 0;
  while (part + 1 < linear.part_count && tile >= linear.parts[part + 1].first_tile) ++part;
  return {part, (tile - linear.parts[part].first_tile) * outputs_of_tile(linear)};
}
/// Steps of k in a slot.
__device__ inline int steps_of_slot(const StepLinear& linear) {
  return linear.halves == 2 ? 1 : 2;
}

/// Waits until at most `left` of the thread's latest groups are on their way.
__device__ inline void wait_for_copies(int left) {
  switch (left) {
    case 0:
      return wait_for_copies<0>();
    case 1:
      return wait_for_copies<1>();
    case 2:
      return wait_for_copies<2>();
    case 3:
      return wait_for_copies<3>();
    case 4:
      return wait_for_copies<4>();
    case 5:
      return wait_for_copies<5>();
    case 6:
      return wait_for_copies<6>();
    case 7:
      return wait_for_copies<7>();
    case 8:
      return wait_for_copies<8>();
    case 9:
      return wait_for_copies<9>();
    case 10:
      return wait_for_copies<10>();
    default:
      return wait_for_copies<kMostSlots - 1>();
  }
}

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
    while (asked_ - taken_ < slots_ && find_next()) ask();
  }
  /// Where this lane's part of the oldest slot is, once it has landed.
  __device__ uint32_t take() {
    if (asked_ == taken_) fill();  // what is taken now was not known when the ring had room for it
    wait_for_copies(asked_ - taken_ - 1);
    return ring_ + static_cast<uint32_t>(read_) * kSlotBytes;
  }
  /// The oldest slot has been read.
  __device__ void give_back() {
    ++taken_;
    read_ = read_ + 1 == slots_ ? 0 : read_ + 1;
    fill();
  }

 private:
  __device__ const StepInstruction& kept(int instruction) const {
    return kept_[instruction % kKeptInstructions];
  }
  /// Aims at the next slot to ask for; false where there is none, or it is not known yet.
  __device__ bool find_next() {
    while (instruction_ < end_) {
      if (is_aimed_) return true;
      const StepInstruction& next = kept(instruction_);
      if (next.kind == StepKind::linear) {
        const StepLinear& linear = next.as<StepLinear>();
        const Slice slice = slice_of(linear.in, warp_);
        if (tile_ < 0) tile_ = static_cast<int>(blockIdx.x);
        if (slice.steps > 0 && tile_ < linear.tiles) {
          aim(linear, slice);
          return true;
        }
      }
      ++instruction_;
      tile_ = -1;
    }
    return false;
  }
  __device__ void aim(const StepLinear& linear, const Slice& slice) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const StepTile tile = tile_of(linear, tile_);
    const StepPart& part = linear.parts[tile.part];
    const int64_t first = min(tile.first_output + lane / 4, part.outputs - 1);
    const bool gated = linear.epilogue.gated;
    const int64_t second = gated ? first : min(tile.first_output + kPieceRows + lane / 4, part.outputs - 1);
    left_ = linear.in - slice.begin * kStep - lane % 4 * 8;
    const int64_t k = int64_t{slice.begin} * kStep + lane % 4 * 8;
    const auto* weight = static_cast<const char*>(part.weight);
    low_ = weight + (first * linear.in + k) * 2;
    // A slot of one half has the next step of the same rows in its other half.
    is_tall_ = linear.halves == 2;
    high_ = is_tall_ ? (gated ? static_cast<const char*>(part.up) : weight) + (second * linear.in + k) * 2
                     : low_ + kStep * 2;
    steps_ = slice.steps;
    is_aimed_ = true;
  }
  __device__ void ask() {
    const uint32_t to = ring_ + static_cast<uint32_t>(write_) * kSlotBytes;
    if (is_tall_) {
      const int bytes = left_ > 0 ? 16 : 0;
      copy_weights(to, low_, bytes, policy_);
      copy_weights(to + kPieceBytes, high_, bytes, policy_);
      low_ += kStep * 2;
      high_ += kStep * 2;
      left_ -= kStep;
      steps_ -= 1;
    } else {
      copy_weights(to, low_, left_ > 0 ? 16 : 0, policy_);
      copy_weights(to + kPieceBytes, high_, steps_ > 1 && left_ > kStep ? 16 : 0, policy_);
      low_ += 2 * kStep * 2;
      high_ += 2 * kStep * 2;
      left_ -= 2 * kStep;
      steps_ -= 2;
    }
    commit_copies();
    ++asked_;
    write_ = write_ + 1 == slots_ ? 0 : write_ + 1;
    if (steps_ > 0) return;
    is_aimed_ = false;
    tile_ += static_cast<int>(gridDim.x);
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
  bool is_aimed_ = false;
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
