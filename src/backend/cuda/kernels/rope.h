// Rotation of pairs of dimensions by the angles of a table.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

struct Rope {
  const float* x = nullptr;      // [rows, heads, head_dim]
  const float* table = nullptr;  // [rows, 2 * pairs]: cosines, then sines
  float* out = nullptr;          // [rows, heads, head_dim]; may be x
  int64_t rows = 0;
  int heads = 0;
  int head_dim = 0;
  int pairs = 0;             // the dimensions from 2 * pairs on stay as they are
  bool interleaved = false;  // pairs of neighbours; else of a dimension and the one `pairs` further on
};
void run_rope(const Gpu& gpu, const Rope& rope);

}  // namespace ingot::cuda
