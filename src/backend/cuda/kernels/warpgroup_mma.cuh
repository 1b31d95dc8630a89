// Products of warpgroups (PTX: wgmma): 64 rows of weights by 16 to 256 rows of inputs, 16 values of each a
// step, both from shared memory in rows of 128 bytes that are swizzled. Compute capability 9.0a.
#pragma once

#include <cstdint>

#include "backend/cuda/kernels/warpgroup.cuh"
#include "ingot/dtype.h"

namespace ingot::cuda {

inline constexpr int kGroupOutputs = 64;  // weight rows of an instruction
inline constexpr int kGroupThreads = 128;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// All threads of a warpgroup give registers back, or take more.
template <int kRegisters>
__device__ __forceinline__ void set_fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void set_more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/// Names a tile whose rows are 128 bytes apart, swizzled in eights: its address, then the distance of eights
/// and the kind of swizzle (PTX ISA, "Matrix descriptor format"). Sixteen values further is kStepOfTile more.
__device__ __forceinline__ uint64_t tile_descriptor(uint32_t address) {
  constexpr uint64_t kEights = uint64_t{1024 >> 4} << 32;
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  return kSwizzle128 | kEights | (uint64_t{1} << 16) | ((address & 0x3ffffU) >> 4);
}
inline constexpr uint64_t kStepOfTile = 32 >> 4;

#define INGOT_SUMS_8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define INGOT_SUMS_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define INGOT_SUMS_24 INGOT_SUMS_16 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define INGOT_SUMS_32 \
  INGOT_SUMS_16       \
  ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define INGOT_SUMS_64                                                                \
  INGOT_SUMS_32                                                                      \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define INGOT_SUMS_128                                                                           \
  INGOT_SUMS_64                                                                                  \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"             \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"             \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define INGOT_REGISTERS_8(d, i)                                                               \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define INGOT_REGISTERS_16(d, i) INGOT_REGISTERS_8(d, i), INGOT_REGISTERS_8(d, i + 8)
#define INGOT_REGISTERS_24(d, i) INGOT_REGISTERS_16(d, i), INGOT_REGISTERS_8(d, i + 16)
#define INGOT_REGISTERS_32(d, i) INGOT_REGISTERS_16(d, i), INGOT_REGISTERS_16(d, i + 16)
#define INGOT_REGISTERS_64(d, i) INGOT_REGISTERS_32(d, i), INGOT_REGISTERS_32(d, i + 32)
#define INGOT_REGISTERS_128(d, i) INGOT_REGISTERS_64(d, i), INGOT_REGISTERS_64(d, i + 64)

/// sums = weights * rows, added to what is there unless `adds` is zero.
#define INGOT_PRODUCT(columns, type, count, weights_at, rows_at, adds_at)                                    \
  asm volatile("{\n\t.reg .pred adds;\n\tsetp.ne.b32 adds, %" #adds_at                                       \
               ", 0;\n\t"                                                                                    \
               "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type " {" INGOT_SUMS_##count \
               "}, %" #weights_at ", %" #rows_at ", adds, 1, 1, 0, 0;\n\t}"                                  \
               : INGOT_REGISTERS_##count(sums, 0)                                                            \
               : "l"(weights), "l"(rows), "r"(adds))

/// Value 4 * j + c of a thread is the sum of weight row 16 * warp + lane / 4 + c / 2 * 8 and of row
/// 8 * j + lane % 4 * 2 + c % 2. Descriptors of tiles; all threads of a warpgroup call it.
template <DType kType, int kColumns>
__device__ __forceinline__ void multiply_tiles(float (&sums)[kColumns / 2], uint64_t weights, uint64_t rows,
                                               int adds) {
  constexpr bool kIsBf16 = kType == DType::bf16;

  if constexpr (kColumns == 16) {
    if constexpr (kIsBf16) {
      INGOT_PRODUCT(16, "bf16", 8, 8, 9, 10);
    } else {
      INGOT_PRODUCT(16, "f16", 8, 8, 9, 10);
    }
  } else if constexpr (kColumns == 32) {
    if constexpr (kIsBf16) {
      INGOT_PRODUCT(32, "bf16", 16, 16, 17, 18);
    } else {
      INGOT_PRODUCT(32, "f16", 16, 16, 17, 18);
    }
  } else if constexpr (kColumns == 48) {
    if constexpr (kIsBf16) {
      INGOT_PRODUCT(48, "bf16", 24, 24, 25, 26);
    } else {
      INGOT_PRODUCT(48, "f16", 24, 24, 25, 26);
    }
  } else if constexpr (kColumns == 64) {
    if constexpr (kIsBf16) {
      INGOT_PRODUCT(64, "bf16", 32, 32, 33, 34);
    } else {
      INGOT_PRODUCT(64, "f16", 32, 32, 33, 34);
    }
  } else if constexpr (kColumns == 128) {
    if constexpr (kIsBf16) {
      INGOT_PRODUCT(128, "bf16", 64, 64, 65, 66);
    } else {
      INGOT_PRODUCT(128, "f16", 64, 64, 65, 66);
    }
  } else if constexpr (kColumns == 256) {
    if constexpr (kIsBf16) {
      INGOT_PRODUCT(256, "bf16", 128, 128, 129, 130);
    } else {
      INGOT_PRODUCT(256, "f16", 128, 128, 129, 130);
    }
  }
}

#undef INGOT_PRODUCT
#undef INGOT_REGISTERS_128
#undef INGOT_REGISTERS_64
#undef INGOT_REGISTERS_32
#undef INGOT_REGISTERS_24
#undef INGOT_REGISTERS_16
#undef INGOT_REGISTERS_8
#undef INGOT_SUMS_128
#undef INGOT_SUMS_64
#undef INGOT_SUMS_32
#undef INGOT_SUMS_24
#undef INGOT_SUMS_16
#undef INGOT_SUMS_8

#endif

}  // namespace ingot::cuda
