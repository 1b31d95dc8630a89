// The order of a row's sum in skinny linears (linear_skinny.h).
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

inline constexpr int kSlices = 16;
inline constexpr int kSliceGroup = 4;  // slices that are added before their sums are

/// A slice's run of steps.
struct Slice {
  int begin;
  int steps;
};
__host__ __device__ constexpr Slice slice_of(int64_t in, int slice) {
  const int steps = static_cast<int>((in + 31) / 32);
  const int begin = static_cast<int>(int64_t{steps} * slice / kSlices);
  return {begin, static_cast<int>(int64_t{steps} * (slice + 1) / kSlices) - begin};
}

/// The sum of all slices' partial sums, `stride` floats apart.
__device__ inline float sum_of_slices(const float* partials, int stride) {
  float total = 0;
  for (int group = 0; group < kSlices; group += kSliceGroup) {
    float sum = partials[group * stride];
    for (int i = 1; i < kSliceGroup; ++i) sum += partials[(group + i) * stride];
    total = group == 0 ? sum : total + sum;
  }
  return total;
}

}  // namespace ingot::cuda
