// The rows that a linear multiplies: normalised, and in the form that a product takes.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "backend/cuda/kernels/linear_operands.h"

namespace ingot::cuda {

struct RowPreparation {
  const float* x = nullptr;  // [rows, in]
  int64_t rows = 0;
  int64_t in = 0;

  LinearNorm norm = LinearNorm::none;
  float eps = 0;
  FloatRow norm_weight = {};  // [in]
  FloatRow norm_bias = {};    // [in], of layer_norm

  // What is wanted; null: not wanted.
  float* f32 = nullptr;         // [rows, in]
  void* bf16 = nullptr;         // [rows, pitch]
  void* f16 = nullptr;          // [rows, pitch], each row divided by its scale, a power of two
  float* f16_scales = nullptr;  // [rows]
  int64_t pitch = 0;            // a multiple of 32, at least `in`; zeros follow each row's values

  // Blocks of 32 values with one scale, in % 32 == 0: value * scale.
  int8_t* int8 = nullptr;        // [rows, in]
  float* int8_scales = nullptr;  // [rows, in / 32]
  float* int8_sums = nullptr;    // [rows, in / 32]: scale times the sum of the values
};

/// Values of a prepared 16-bit row with the zeros after it.
__host__ __device__ constexpr int64_t prepared_pitch(int64_t in) {
  return (in + 31) / 32 * 32;
}

void run_row_preparation(const Gpu& gpu, const RowPreparation& preparation);

}  // namespace ingot::cuda
