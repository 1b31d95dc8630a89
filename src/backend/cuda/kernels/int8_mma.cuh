// The instructions of products with blocks that C++ has no words for: matrix products, of integers exactly
// and small ones of floats.
//
// Lane l of a warp has, with row = l / 4 and part = l % 4: of A (16 rows) the values k = 4 part … 4 part + 3
// of rows `row` and row + 8, and the same 16 values on; of B (8 columns) those of column `row`; of the result
// columns 2 part and 2 part + 1 of rows `row` (x, y) and row + 8 (z, w).
#pragma once

#include <cuda_runtime_api.h>

namespace ingot::cuda {

/// A of 16 rows by 32 bytes: first 16 values of `row` and row + 8, then the second 16 of both.
struct Rows32 {
  unsigned a[4];
};

/// sums + A B with 32 signed bytes a row.
__device__ inline int4 multiply_s8(const Rows32& rows, unsigned b0, unsigned b1, int4 sums) {
  int4 d;
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%11,%12,%13};"
      : "=r"(d.x), "=r"(d.y), "=r"(d.z), "=r"(d.w)
      : "r"(rows.a[0]), "r"(rows.a[1]), "r"(rows.a[2]), "r"(rows.a[3]), "r"(b0), "r"(b1), "r"(sums.x),
        "r"(sums.y), "r"(sums.z), "r"(sums.w));
  return d;
}

/// The same for unsigned bytes of A.
__device__ inline int4 multiply_u8(const Rows32& rows, unsigned b0, unsigned b1, int4 sums) {
  int4 d;
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%11,%12,%13};"
      : "=r"(d.x), "=r"(d.y), "=r"(d.z), "=r"(d.w)
      : "r"(rows.a[0]), "r"(rows.a[1]), "r"(rows.a[2]), "r"(rows.a[3]), "r"(b0), "r"(b1), "r"(sums.x),
        "r"(sums.y), "r"(sums.z), "r"(sums.w));
  return d;
}

/// A B with 16 signed bytes a row.
__device__ inline int4 multiply_s8_16(unsigned a0, unsigned a1, unsigned b) {
  int4 d;
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%7,%7,%7,%7};"
      : "=r"(d.x), "=r"(d.y), "=r"(d.z), "=r"(d.w)
      : "r"(a0), "r"(a1), "r"(b), "r"(0));
  return d;
}

/// A of 16 rows by 8 floats, of which tf32 keeps all (at most 11 significant bits): value `part` of `row` and
/// row + 8, then value part + 4 of both.
struct Rows8 {
  float a[4];
};

/// sums + A B of floats that tf32 keeps; b0, b1: values `part` and part + 4 of column `row`.
__device__ inline float4 multiply_tf32(const Rows8& rows, float b0, float b1, float4 sums) {
  float4 d;
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%11,%12,%13};"
      : "=f"(d.x), "=f"(d.y), "=f"(d.z), "=f"(d.w)
      : "r"(__float_as_uint(rows.a[0])), "r"(__float_as_uint(rows.a[1])), "r"(__float_as_uint(rows.a[2])),
        "r"(__float_as_uint(rows.a[3])), "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)), "f"(sums.x),
        "f"(sums.y), "f"(sums.z), "f"(sums.w));
  return d;
}

/// A constant that the compiler cannot see is one: it would move those to a register again for each use.
template <unsigned kConstant>
__device__ inline unsigned in_register() {
  unsigned value;
  asm("{ .reg .u32 zero; mov.u32 zero, %%laneid; shr.u32 zero, zero, 5; add.u32 %0, zero, %1; }"
      : "=r"(value)
      : "n"(kConstant));
  return value;
}

}  // namespace ingot::cuda
