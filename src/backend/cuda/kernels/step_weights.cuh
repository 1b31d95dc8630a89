// A warp's stream of weights through its ring in shared memory: slot after slot, in the order in which the
// warp will multiply them, from tile to tile and from instruction to instruction.
//
// A warp has two neighbouring slices of K. A slot has kSlotValues of them for the 16 weight rows of a tile,
// or twice as many for 8. The copy engine brings each row's part (PTX: cp.async.bulk): unlike copies by
// threads, what is on its way holds up neither the warp nor others' loads.
#pragma once

#include "backend/cuda/kernels/linear_fragments.cuh"
#include "backend/cuda/kernels/linear_slices.cuh"
#include "backend/cuda/kernels/step_program.h"

namespace ingot::cuda {

inline constexpr int kSlotValues = 256;  // of k, of tall tiles
inline constexpr int kSlotBytes = 2 * kPieceRows * kSlotValues * 2;
inline constexpr int kMostSlots = 8;         // of a warp's ring
inline constexpr int kKeptInstructions = 8;  // in shared memory, the current one included
inline constexpr int kWarpSlices = 2;
inline constexpr int kProductWarps = kSlices / kWarpSlices;

/// Log2 of a tile's outputs.
__device__ inline int tile_shift(const StepLinear& linear) {
  return linear.epilogue.gated || linear.halves == 1 ? 3 : 4;
}
/// Values of k in each of a slot's two parts, 8 rows each one after another: of tall tiles both halves' same
/// k, else of the one half the next ones.
__device__ __forceinline__ int part_values(const StepLinear& linear) {
  return linear.box_values > 0 ? linear.box_values : kSlotValues;
}

/// A warp's slices: the second follows the first.
struct SlicePair {
  int begin;
  int first;  // steps of each
  int second;
  __device__ int steps() const { return first + second; }
};
__device__ __forceinline__ SlicePair slices_of(int in, int warp) {
  const Slice slice = slice_of(in, kWarpSlices * warp);
  return {slice.begin, slice.steps, slice_of(in, kWarpSlices * warp + 1).steps};
}

// Barriers in shared memory that copies of the copy engine arrive at (PTX: mbarrier).
__device__ __forceinline__ void make_copy_barrier(uint32_t barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");  // the copy engine sees it
#endif
}
/// So many bytes are to come.
__device__ __forceinline__ void expect_bytes(uint32_t barrier, int bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
#endif
}
__device__ __forceinline__ void wait_for_bytes(uint32_t barrier, uint32_t parity) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n\t"
      ".reg .pred landed;\n\t"
      "again:\n\t"
      "mbarrier.try_wait.parity.shared::cta.b64 landed, [%0], %1;\n\t"
      "@landed bra done;\n\t"
      "bra again;\n\t"
      "done:\n\t"
      "}" ::"r"(barrier),
      "r"(parity)
      : "memory");
#endif
}
/// Begins to copy; addresses and bytes are multiples of 16.
__device__ __forceinline__ void copy_in_bulk(uint32_t to, const char* from, int bytes, uint32_t barrier,
                                             uint64_t policy) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, "
      "[%3], %4;" ::"r"(to),
      "l"(from), "r"(bytes), "r"(barrier), "l"(policy)
      : "memory");
#endif
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

/// The same of a box, by one thread; `row` and `k`: where it begins in the matrix.
__device__ __forceinline__ void copy_box(uint32_t to, const void* map, int k, int row, uint32_t barrier,
                                         uint64_t policy) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, "
      "{%2, "
      "%3}], [%4], %5;" ::"r"(to),
      "l"(map), "r"(k), "r"(row), "r"(barrier), "l"(policy)
      : "memory");
#endif
}

/// To be used by whole warps.
class WeightStream {
 public:
  /// `ring`: the warp's, of `slots` slots, with a barrier for each. `kept`: instruction i at i %
  /// kKeptInstructions.
  __device__ WeightStream(char* ring, uint64_t* barriers, int slots, const StepInstruction* kept, int count,
                          int warp)
      : kept_(kept),
        ring_(shared_address(ring)),
        barriers_(shared_address(barriers)),
        slots_(slots),
        count_(count),
        warp_(warp),
        policy_(weights_policy(true)) {}

  /// Instructions before `end` are in shared memory.
  __device__ __forceinline__ void set_end(int end) { end_ = min(end, count_); }

  /// Asks for weights as long as there is room in the ring.
  __device__ __forceinline__ void fill() {
    while (asked_ - taken_ < slots_) {
      if (left_ <= 0 && !find_next()) return;
      ask();
    }
  }
  /// Where the oldest slot is, once it has landed. It has been asked for: fill() was called when its
  /// instruction was known.
  __device__ __forceinline__ uint32_t take() {
    wait_for_bytes(barriers_ + static_cast<uint32_t>(read_) * 8, parity_);
    return ring_ + static_cast<uint32_t>(read_ * kSlotBytes);
  }
  /// Where the slot is that was taken.
  __device__ __forceinline__ uint32_t taken() const {
    return ring_ + static_cast<uint32_t>(read_ * kSlotBytes);
  }
  /// The oldest slot has been read.
  __device__ __forceinline__ void give_back() {
    ++taken_;
    if (++read_ == slots_) {
      read_ = 0;
      parity_ ^= 1;
    }
    __syncwarp();
    fill();
  }
  /// Finds everything again that follows from how far the stream is: to be called where registers were needed
  /// for something else.
  __device__ __forceinline__ void resume() {
    policy_ = weights_policy(true);
    write_ = asked_ % slots_;
    read_ = taken_ % slots_;
    parity_ = static_cast<uint32_t>(taken_ / slots_ % 2);
    if (left_ <= 0) return;
    const StepLinear& linear = kept(instruction_).as<StepLinear>();
    const int left = left_;
    aim(linear, slices_of(linear.in, warp_));
    k_ += left_ - left;
    left_ = left;
  }

 private:
  __device__ __forceinline__ const StepInstruction& kept(int instruction) const {
    return kept_[instruction % kKeptInstructions];
  }
  /// Aims at the next tile; false where there is none, or it is not known yet.
  __device__ __forceinline__ bool find_next() {
    for (; instruction_ < end_; ++instruction_, tile_ = -1) {
      const StepInstruction& next = kept(instruction_);
      if (next.kind != StepKind::linear) continue;
      const StepLinear& linear = next.as<StepLinear>();
      const SlicePair slices = slices_of(linear.in, warp_);
      if (slices.steps() == 0) continue;
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
    const StepPart& part = linear.parts[part_];
    const bool gated = linear.epilogue.gated;
    is_tall_ = linear.halves == 2;
    values_ = part_values(linear);
    has_boxes_ = linear.box_values > 0;
    first_row_ = (tile_ - part.first_tile) << tile_shift(linear);
    second_row_ = first_row_ + (is_tall_ && !gated ? kPieceRows : 0);
    last_row_ = part.outputs - 1;
    in_ = linear.in;
    k_ = slices.begin * kStep;
    left_ = slices.steps() * kStep;
    first_ = has_boxes_ ? part.weight_map : part.weight;
    second_ = gated ? (has_boxes_ ? part.up_map : part.up) : first_;
  }
  __device__ __forceinline__ void ask() {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const uint32_t barrier = barriers_ + static_cast<uint32_t>(write_) * 8;
    const uint32_t to = ring_ + static_cast<uint32_t>(write_ * kSlotBytes);
    const uint32_t part_bytes = static_cast<uint32_t>(kPieceRows * values_ * 2);
    const int second_k = is_tall_ ? k_ : k_ + values_;
    const int first = min(left_, values_);
    const int second = is_tall_ ? first : max(0, min(left_ - values_, values_));
    if (lane == 0) {
      // Boxes come whole, also where the weight ends: zeros.
      if (has_boxes_) {
        expect_bytes(barrier, static_cast<int>(second > 0 ? 2 * part_bytes : part_bytes));
        copy_box(to, first_, k_, first_row_, barrier, policy_);
        if (second > 0) copy_box(to + part_bytes, second_, second_k, second_row_, barrier, policy_);
      } else {
        expect_bytes(barrier, kPieceRows * (first + second) * 2);
      }
    }
    __syncwarp();
    if (!has_boxes_ && lane < 2 * kPieceRows) {
      const bool is_first = lane < kPieceRows;
      const int row = min((is_first ? first_row_ : second_row_) + lane % kPieceRows, last_row_);
      const int values = is_first ? first : second;
      const char* from = static_cast<const char*>(is_first ? first_ : second_) +
                         (static_cast<int64_t>(row) * in_ + (is_first ? k_ : second_k)) * 2;
      if (values > 0)
        copy_in_bulk(to + static_cast<uint32_t>(lane * values_ * 2), from, values * 2, barrier, policy_);
    }
    const int asked = is_tall_ ? first : first + second;
    k_ += asked;
    left_ -= asked;
    ++asked_;
    if (++write_ == slots_) write_ = 0;
  }

  const StepInstruction* kept_;
  uint32_t ring_;
  uint32_t barriers_;
  int slots_;
  int count_;
  int warp_;
  uint64_t policy_;
  int end_ = 0;

  int instruction_ = 0;  // that is asked for
  int tile_ = -1;        // none yet
  int part_ = 0;
  bool is_tall_ = true;
  bool has_boxes_ = false;
  int values_ = 0;  // of a part
  int left_ = 0;    // values of k of the tile that are still to be asked for
  int k_ = 0;       // the next one
  int in_ = 0;
  int first_row_ = 0;
  int second_row_ = 0;
  int last_row_ = 0;
  const void* first_ = nullptr;  // map or weight of a slot's parts
  const void* second_ = nullptr;

  int asked_ = 0;
  int taken_ = 0;
  int write_ = 0;
  int read_ = 0;
  uint32_t parity_ = 0;
};

}  // namespace ingot::cuda
