// Pieces of matrices on their way to the tensor cores.
//
// The matrix instruction m16n8k16 multiplies 16 x 16 weights with 16 x 8 inputs; lane (g, t) = (lane / 4,
// lane % 4) holds weights of rows g and g + 8 and inputs of column g, at k = 2t, 2t + 1, 2t + 8, 2t + 9. An
// instruction takes sixteen neighbours in k, as those of warpgroups do. A piece is 8 rows x 32 values: 512
// bytes, 16 of which each lane copies to shared memory, and it serves two instructions. Its rows are swizzled
// there: neither a copy nor a load meets a bank twice.
#pragma once

#include <cstdint>

#include "backend/cuda/kernels/async_copies.cuh"
#include "backend/cuda/kernels/gpu.h"
#include "backend/cuda/kernels/shared_memory.cuh"
#include "ingot/dtype.h"

namespace ingot::cuda {

inline constexpr int kStep = 32;         // values of k in a piece
inline constexpr int kPieceRows = 8;     // rows of a piece
inline constexpr int kPieceBytes = 512;  // of shared memory

/// Weights are read once: what they displace from the second-level cache should be each other.
__device__ inline uint64_t weights_policy(bool is_read_once) {
  uint64_t policy;
  if (is_read_once) {
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  } else {
    asm volatile("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
  }
  return policy;
}

/// Begins to copy 16 bytes past the first-level cache; `bytes` 0: zeros instead, and nothing is read.
__device__ inline void copy_weights(uint32_t to, const void* from, int bytes, uint64_t policy) {
  asm volatile("cp.async.cg.shared.global.L2::cache_hint.L2::128B [%0], [%1], 16, %2, %3;" ::"r"(to),
               "l"(from), "r"(bytes), "l"(policy)
               : "memory");
}

/// The same through the first-level cache, for rows that every warp reads.
__device__ inline void copy_inputs(uint32_t to, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

/// Where in a piece a lane copies 16 bytes to: values 8t … 8t + 7 of row g.
__device__ inline uint32_t copied_place(int lane) {
  return static_cast<uint32_t>(lane / 4 * 64 + (lane % 4 ^ lane / 8) * 16);
}
/// Where in a piece a lane loads from.
__device__ inline uint32_t loaded_place(int lane) {
  return static_cast<uint32_t>(lane % 8 * 64 + (lane / 8 ^ lane % 8 / 2) * 16);
}

/// Loads a piece, each lane from its loaded_place(): what all lanes have copied. x and y are of the first
/// sixteen values, z and w of the others.
__device__ inline uint4 load_piece(uint32_t from) {
  uint4 piece;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(piece.x), "=r"(piece.y), "=r"(piece.z), "=r"(piece.w)
               : "r"(from)
               : "memory");
  return piece;
}

/// What a step multiplies: the inputs, and one or two pieces of eight weight rows.
struct StepPieces {
  uint4 input;
  uint4 low;
  uint4 high;
};
template <int kHalves>
__device__ inline StepPieces load_pieces(uint32_t inputs, uint32_t weights) {
  StepPieces pieces{load_piece(inputs), load_piece(weights), {}};
  if constexpr (kHalves == 2) pieces.high = load_piece(weights + kPieceBytes);
  return pieces;
}

/// sums += weights (rows g: low, rows g + 8: high) * inputs, 16 values of k.
template <DType kType>
__device__ inline void multiply_half(float (&sums)[4], uint32_t low0, uint32_t high0, uint32_t low1,
                                     uint32_t high1, uint32_t input0, uint32_t input1) {
  if constexpr (kType == DType::bf16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(low0), "r"(high0), "r"(low1), "r"(high1), "r"(input0), "r"(input1));
  } else {
    static_assert(kType == DType::f16);
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(low0), "r"(high0), "r"(low1), "r"(high1), "r"(input0), "r"(input1));
  }
}

/// The same for whole pieces.
template <DType kType>
__device__ inline void multiply_pieces(float (&sums)[4], const uint4& low, const uint4& high,
                                       const uint4& inputs) {
  multiply_half<kType>(sums, low.x, high.x, low.y, high.y, inputs.x, inputs.y);
  multiply_half<kType>(sums, low.z, high.z, low.w, high.w, inputs.z, inputs.w);
}
template <DType kType>
__device__ inline void multiply_pieces(float (&sums)[4], const StepPieces& pieces) {
  multiply_pieces<kType>(sums, pieces.low, pieces.high, pieces.input);
}

}  // namespace ingot::cuda
