// How one row comes to the shared memory of a block that multiplies it: as the kernel ahead has prepared it,
// or by way of registers, in which the block normalises it.
#pragma once

#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/linear_fragments.cuh"
#include "backend/cuda/kernels/linear_skinny.h"
#include "backend/cuda/kernels/linear_slices.cuh"

namespace ingot::cuda {

inline constexpr int kKeptFours = 2;  // of a thread, of a row that the block prepares
inline constexpr int64_t kMostPreparedValues = int64_t{kKeptFours} * kRowStep;
inline constexpr int64_t kMostRowValues = 16 * 1024;

/// Writes this warp's run of the row, which the kernel ahead has prepared, to shared memory.
__device__ inline void copy_slice(const SkinnyLinear& linear, const Slice& slice, char* to) {
  constexpr int kMost = static_cast<int>(kMostRowValues / kStep / kSlices) * 4 / kWarp;  // of a lane
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto* from = reinterpret_cast<const uint4*>(linear.x) + (slice.begin * 4 + lane);
  auto* place = reinterpret_cast<uint4*>(to) + (slice.begin * 4 + lane);
  const int count = slice.steps * 4 - lane;
  uint4 values[kMost];
#pragma unroll
  for (int i = 0; i < kMost; ++i) {
    if (i * kWarp < count) values[i] = from[i * kWarp];
  }
#pragma unroll
  for (int i = 0; i < kMost; ++i) {
    if (i * kWarp < count) place[i * kWarp] = values[i];
  }
  __syncwarp();
}

/// A norm's weights in bf16. What they are as floats is not computed before the row is asked for: that would
/// wait for them.
struct UsualNormWeights {
  uint2 bits[kKeptFours] = {};

  __device__ void load(const RowPreparation& p, KeptRow<kKeptFours>& kept) {
    const auto* weights = static_cast<const uint16_t*>(p.norm_weight.data);
#pragma unroll
    for (int i = 0; i < kKeptFours; ++i) {
      if (kept.at(i) < p.in) bits[i] = *reinterpret_cast<const uint2*>(weights + kept.at(i));
    }
    kept.load_part(p);
  }
  __device__ void decode(KeptRow<kKeptFours>& kept) {
#pragma unroll
    for (int i = 0; i < kKeptFours; ++i) {
      asm volatile("" : "+r"(bits[i].x), "+r"(bits[i].y));  // here, and no sooner
      kept.weight[i] = {__uint_as_float(bits[i].x << 16), __uint_as_float(bits[i].x & 0xffff0000U),
                        __uint_as_float(bits[i].y << 16), __uint_as_float(bits[i].y & 0xffff0000U)};
    }
  }
};

}  // namespace ingot::cuda
