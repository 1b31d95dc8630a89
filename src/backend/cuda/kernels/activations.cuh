// The point-wise functions, one value at a time. Each rounding is written out, so that the compiler fuses no
// product with a sum: a value has the same bits in every kernel and at every place of a row.
#pragma once

namespace ingot::cuda {

/// x / 2 (1 + erf(x / sqrt 2))
__device__ __forceinline__ float gelu_erf(float x) {
  constexpr float kRootHalf = 0.70710678118654752F;
  return __fmul_rn(__fmul_rn(0.5F, x), __fadd_rn(1.0F, erff(__fmul_rn(x, kRootHalf))));
}

/// x / (1 + exp(-y)). The quick division errs by 2 units in the last place and gives 0 where the divisor is
/// above 2^126, which is right.
__device__ __forceinline__ float times_sigmoid(float x, float y) {
  return __fdividef(x, __fadd_rn(1.0F, expf(-y)));
}

/// x / 2 (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x / (1 + exp(-2 u)): no
/// cancellation where tanh(u) is near -1.
__device__ __forceinline__ float gelu_tanh(float x) {
  constexpr float kTwoRootTwoOverPi = 1.5957691216057308F;
  const float cubic = __fmul_rn(__fmul_rn(0.044715F, x), __fmul_rn(x, x));
  return times_sigmoid(x, __fmul_rn(kTwoRootTwoOverPi, __fadd_rn(x, cubic)));
}

__device__ __forceinline__ float silu(float x) {
  return times_sigmoid(x, x);
}

}  // namespace ingot::cuda
