// softmax: exp(x - max) / sum over each row.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

struct Softmax {
  const float* x = nullptr;  // [rows, width]
  float* out = nullptr;      // [rows, width]; may be x
  int64_t rows = 0;
  int64_t width = 0;
};
void run_softmax(const Gpu& gpu, const Softmax& softmax);

}  // namespace ingot::cuda
