// Products of small tiles on tensor cores, operands in tf32, sums in f32.
//
// mma.m16n8k8: lane 4g + t (g < 8, t < 4) holds of the left operand the rows g and g + 8 at the depths t and
// t + 4, of the right one the column g at these depths, and of the sums the rows g and g + 8 at the columns
// 2t and 2t + 1.
#pragma once

#include <cstdint>

namespace ingot::cuda {

/// To the nearest tf32, halves away from zero. Tensor cores do not look at the 13 bits below.
__device__ inline float round_tf32(float x) {
  return __uint_as_float(__float_as_uint(x) + 0x1000U);
}
/// The same with those bits cleared.
__device__ inline float exactly_tf32(float x) {
  return __uint_as_float((__float_as_uint(x) + 0x1000U) & 0xffffe000U);
}

/// left: rows g, g + 8 at depth t, then at depth t + 4. right: depths t, t + 4. sums: row g, then row g + 8.
__device__ inline void multiply_add(float (&sums)[4], const float (&left)[4], float right0, float right1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(__float_as_uint(left[0])), "r"(__float_as_uint(left[1])), "r"(__float_as_uint(left[2])),
        "r"(__float_as_uint(left[3])), "r"(__float_as_uint(right0)), "r"(__float_as_uint(right1)));
}

/// 2^x, to two units in the last place; 1 for 0, 0 for -inf.
__device__ inline float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace ingot::cuda
