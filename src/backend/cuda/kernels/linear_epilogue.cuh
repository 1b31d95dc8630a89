// The arithmetic after the products, one definition for kernels that fuse it and for the kernel that does
// nothing else. Every operation that could be contracted is written out: the bits are those of each step on
// its own in whatever kernel.
#pragma once

#include "backend/cuda/kernels/linear_epilogue.h"
#include "backend/cuda/kernels/linear_operands.cuh"

namespace ingot::cuda {

__device__ inline float activated(LinearActivation activation, float x) {
  if (activation == LinearActivation::silu) [[likely]]
    return __fdiv_rn(x, __fadd_rn(1.0F, expf(-x)));
  switch (activation) {
    case LinearActivation::gelu_erf:
      return __fmul_rn(__fmul_rn(0.5F, x), __fadd_rn(1.0F, erff(__fmul_rn(x, 0.70710678F))));
    case LinearActivation::gelu_tanh: {
      const float cube = __fmul_rn(__fmul_rn(x, x), x);
      const float inner = __fmul_rn(0.79788456F, __fmaf_rn(0.044715F, cube, x));
      return __fmul_rn(__fmul_rn(0.5F, x), __fadd_rn(1.0F, tanhf(inner)));
    }
    default:
      return x;
  }
}

/// A sum with the scale of its row and its bias.
__device__ inline float biased(float sum, float row_scale, const FloatRow& bias, int64_t n) {
  const float y = __fmul_rn(sum, row_scale);
  if (bias.data == nullptr) [[likely]]
    return y;
  return __fadd_rn(y, load_float(bias, n));
}

/// Everything between the bias and the residual. `at`: of the output in [rows, out]; `up`: the second factor,
/// of gated ones.
__device__ inline float before_residual(const LinearEpilogue& epilogue, float y, float up, int64_t n,
                                        int64_t at) {
  if (epilogue.add.data != nullptr) [[unlikely]]
    y = __fadd_rn(y, load_float(epilogue.add, epilogue.adds_rows ? at : n));
  if (epilogue.activation != LinearActivation::none) y = activated(epilogue.activation, y);
  return epilogue.gated ? __fmul_rn(y, up) : y;
}
/// Everything after the bias.
__device__ inline float finished(const LinearEpilogue& epilogue, float y, float up, int64_t n, int64_t at) {
  y = before_residual(epilogue, y, up, n, at);
  if (epilogue.residual != nullptr) y = __fadd_rn(epilogue.residual[at], y);
  return y;
}

}  // namespace ingot::cuda
