// matmul: the product of two f32 matrices, or of many pairs of them, multiplied and added in f32.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

struct Matmul {
  const float* a = nullptr;  // [batch, m, k]
  const float* b = nullptr;  // [batch, k, n]
  float* out = nullptr;      // [batch, m, n]
  int64_t batch = 0;
  int64_t m = 0;
  int64_t k = 0;
  int64_t n = 0;
};
/// Row-invariant: every sum runs from the first k to the last, whatever the tiles.
void run_matmul(const Gpu& gpu, const Matmul& matmul);

}  // namespace ingot::cuda
