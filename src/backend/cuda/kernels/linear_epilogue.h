// What follows the products of a linear, in this order: bias, + b, activation, * up, + residual.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "backend/cuda/kernels/linear_operands.h"

namespace ingot::cuda {

struct LinearEpilogue {
  FloatRow add = {};       // [out], or [rows, out]
  bool adds_rows = false;  // the latter
  LinearActivation activation = LinearActivation::none;
  bool gated = false;               // activation(first factor) * second
  const float* residual = nullptr;  // [rows, out]; may be the output
};

/// Sums of products in memory, and what is still to be done with them.
struct LinearSums {
  const float* sums = nullptr;        // [rows, stride]; may be the output
  const float* row_scales = nullptr;  // [rows]: sums are multiplied with it first; null: 1
  FloatRow bias = {};                 // [out]
  const float* up_sums = nullptr;     // of the second factor
  const float* up_row_scales = nullptr;
  FloatRow up_bias = {};
  LinearEpilogue epilogue = {};
  int64_t rows = 0;
  int64_t out = 0;
  int64_t stride = 0;
  int64_t up_stride = 0;
  float* output = nullptr;  // [rows, out]
};
void run_linear_epilogue(const Gpu& gpu, const LinearSums& sums);

}  // namespace ingot::cuda
