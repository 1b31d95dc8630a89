// Linears of prompts on the tensor cores of compute capability 9.0: 16-bit rows and weights, f32 sums, and
// what follows them, in one kernel.
//
// A row's sum is one chain of matrix instructions over steps of 16 values, first to last, whatever the tile:
// no bit depends on the number of rows, nor on the tile that a number of rows gets.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "backend/cuda/kernels/linear_epilogue.h"
#include "backend/cuda/kernels/linear_skinny.h"
#include "ingot/dtype.h"

namespace ingot::cuda {

/// One linear, or the two of a gated pair.
struct TensorPart {
  const void* weight = nullptr;  // [outputs, in]
  const void* up = nullptr;      // the second factor's, of gated ones
  FloatRow bias = {};            // [outputs]
  FloatRow up_bias = {};
  float* out = nullptr;  // [rows, stride]
  int64_t outputs = 0;
};

/// Addresses of rows and weights are multiples of 16.
struct TensorLinear {
  DType dtype = DType::bf16;  // of every weight: bf16 or f16
  int64_t rows = 0;
  int64_t in = 0;                     // a multiple of 8, above 0
  const void* x = nullptr;            // [rows, pitch] of the weights' type
  int64_t pitch = 0;                  // a multiple of 8
  const float* row_scales = nullptr;  // [rows]: sums are multiplied with it first; null: 1

  TensorPart parts[kMostLinearParts] = {};
  int part_count = 0;
  int64_t stride = 0;  // of the rows of the output, of rows that are added and of the residual, where
                       // there is one part; 0: the part's outputs
  LinearEpilogue epilogue = {};      // only with one part
  bool weights_are_written = false;  // by a kernel ahead: else they are read while it still runs
};

/// Whether the process's device has such kernels and this build has their code. Host only.
bool has_linear_tensor();
/// Whether it takes weights of such a shape, where there is one.
constexpr bool takes_linear_tensor(DType dtype, bool is_in_out, int64_t in) {
  return (dtype == DType::bf16 || dtype == DType::f16) && !is_in_out && in > 0 && in % 8 == 0;
}
void run_linear_tensor(const Gpu& gpu, const TensorLinear& linear);

}  // namespace ingot::cuda
