// A histogram of a row's tokens over bins of likelihood, and sums over a block: what the sampler's search
// begins with.
#pragma once

#include "backend/cuda/kernels/sample_row.cuh"

namespace ingot::cuda {

/// Threads of the blocks that sample.
inline constexpr int kSampleThreads = 512;

/// One for each thread. The bins' width, 1/16 of a unit of the scaled logit, makes those that a cut falls
/// into hold some hundred tokens of a usual vocabulary; the last has all that weighs nothing.
inline constexpr int kBins = kSampleThreads;
inline constexpr float kBinsOfUnit = 16;
static_assert(kNoWeight * kBinsOfUnit == 1 - kBins);

__device__ inline int bin_of(SampleKey key) {
  return static_cast<int>(fminf(__uint_as_float(key) * kBinsOfUnit, static_cast<float>(kBins - 1)));
}
/// The first key of a bin; of the bin after the last: above all keys.
__device__ inline SampleKey first_key(int bin) {
  return bin < kBins ? __float_as_uint(static_cast<float>(bin) / kBinsOfUnit) : ~0U;
}

/// Sum of `value` over the threads up to and with this one. `of_warps`: for the block.
__device__ inline uint64_t sum_up_to_thread(uint64_t value, uint64_t* of_warps) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const uint64_t before = __shfl_up_sync(~0U, value, distance);
    if (lane >= distance) value += before;
  }
  if (lane == kWarp - 1) of_warps[warp] = value;
  __syncthreads();
  for (int i = 0; i < warp; ++i) value += of_warps[i];
  __syncthreads();  // all have read
  return value;
}

/// Counts and weights of bins in shared memory, where atomics are of 32 bits.
struct SampleBins {
  uint32_t counts[kBins];
  uint32_t low[kBins];  // of the weights' sums
  uint32_t high[kBins];

  __device__ void clear() {
    counts[threadIdx.x] = low[threadIdx.x] = high[threadIdx.x] = 0;
    __syncthreads();
  }
  __device__ void add(int bin, uint64_t weight) {
    atomicAdd(&counts[bin], 1U);
    const auto added = static_cast<uint32_t>(weight);
    auto carried = static_cast<uint32_t>(weight >> 32);
    if (added != 0 && atomicAdd(&low[bin], added) > ~added) ++carried;
    if (carried != 0) atomicAdd(&high[bin], carried);
  }
  /// After a barrier.
  __device__ uint64_t weight(int bin) const { return static_cast<uint64_t>(high[bin]) << 32 | low[bin]; }
};

}  // namespace ingot::cuda
