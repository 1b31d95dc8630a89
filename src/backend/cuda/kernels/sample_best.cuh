// The highest logit of a row, by whoever has its logits: a kernel that reads them, or the one that writes
// them.
#pragma once

#include "backend/cuda/kernels/sample_bins.cuh"

namespace ingot::cuda {

/// The highest logit so far, of the lowest id that has it.
struct Best {
  float logit;
  int id;
  static __device__ Best none() { return {negative_infinity(), 0x7fffffff}; }
  __device__ void consider(float other_logit, int other_id) {
    if (other_logit > logit || (other_logit == logit && other_id < id)) {
      logit = other_logit;
      id = other_id;
    }
  }
};

/// The better of all lanes', in every lane.
__device__ inline Best best_of_warp(Best best) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const float logit = __shfl_xor_sync(~0U, best.logit, distance);
    const int id = __shfl_xor_sync(~0U, best.id, distance);
    best.consider(logit, id);
  }
  return best;
}

/// A row's sums over its chunks.
struct RowSums {
  unsigned long long weights[kBins];
  uint32_t counts[kBins];  // of the last bin: nothing, it is the rest
  uint32_t finished;       // chunks
  uint32_t unused;

  /// By a block of so many threads, for the next kernel.
  __device__ void clear(int threads) {
    auto* words = reinterpret_cast<uint32_t*>(this);
    for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(sizeof(RowSums) / sizeof(uint32_t));
         i += threads)
      words[i] = 0;
  }
};

/// What a block that writes logits finds of them. Its first warp alone may call consider() and end().
class WatchedLogits {
 public:
  __device__ explicit WatchedLogits(const LogitsWatch& watch) : watch_(watch), row_(watch.sample, 0) {}

  /// By all threads, once.
  __device__ void begin(int threads) const {
    if (blockIdx.x != 0) return;
    watch_.sums->clear(threads);
    for (int i = static_cast<int>(gridDim.x + threadIdx.x); i < watch_.count; i += threads)
      watch_.bests[i] = Best::none();
  }
  __device__ void consider(int id, float logit) { best_.consider(row_.penalised(id, logit), id); }
  __device__ void end() const {
    const Best best = best_of_warp(best_);
    if (threadIdx.x == 0) watch_.bests[blockIdx.x] = best;
  }

 private:
  const LogitsWatch& watch_;
  const SampleRow row_;
  Best best_ = Best::none();
};

}  // namespace ingot::cuda
