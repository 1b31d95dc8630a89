// rms_norm and layer_norm: a reduction over each row, then the row scaled.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "ingot/dtype.h"

namespace ingot::cuda {

/// out = x / sqrt(mean(x^2) + eps) * weight
struct RmsNorm {
  const float* x = nullptr;      // [rows, width]
  const void* weight = nullptr;  // [width]
  DType weight_dtype = DType::f32;
  float eps = 0;
  float* out = nullptr;  // [rows, width]; may be x
  int64_t rows = 0;
  int64_t width = 0;
};
void run_rms_norm(const Gpu& gpu, const RmsNorm& norm);

/// out = (x - mean) / sqrt(variance + eps) * weight + bias
struct LayerNorm {
  const float* x = nullptr;      // [rows, width]
  const void* weight = nullptr;  // [width]
  DType weight_dtype = DType::f32;
  const void* bias = nullptr;  // [width]
  DType bias_dtype = DType::f32;
  float eps = 0;
  float* out = nullptr;  // [rows, width]; may be x
  int64_t rows = 0;
  int64_t width = 0;
};
void run_layer_norm(const Gpu& gpu, const LayerNorm& norm);

}  // namespace ingot::cuda
