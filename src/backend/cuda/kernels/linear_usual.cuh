// The usual ends of linears of few rows: what follows the products is at most a residual, or silu of one
// factor times the other. They have kernels of their own: instructions of a kernel that is launched anew for
// every linear come from memory, so that what is never run costs time, too.
#pragma once

#include "backend/cuda/kernels/linear_fragments.cuh"
#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_skinny.h"

namespace ingot::cuda {

/// What follows the products.
enum class LinearEnd : uint8_t {
  any,
  plain,       // at most a residual
  gated_silu,  // silu(first factor) * second, and no more
  heads,       // rotated, and written where they belong
};
inline LinearEnd end_of(const SkinnyLinear& linear) {
  const LinearEpilogue& epilogue = linear.epilogue;
  if (linear.row_scales != nullptr || epilogue.add.data != nullptr) return LinearEnd::any;
  for (int i = 0; i < linear.part_count; ++i) {
    if (linear.parts[i].bias.data != nullptr || linear.parts[i].up_bias.data != nullptr)
      return LinearEnd::any;
  }
  if (epilogue.gated)
    return epilogue.activation == LinearActivation::silu && epilogue.residual == nullptr
               ? LinearEnd::gated_silu
               : LinearEnd::any;
  return epilogue.activation == LinearActivation::none ? LinearEnd::plain : LinearEnd::any;
}
template <LinearEnd kEnd>
__host__ __device__ constexpr bool is_gated(const LinearEpilogue& epilogue) {
  return kEnd == LinearEnd::any ? epilogue.gated : kEnd == LinearEnd::gated_silu;
}

/// Whether heads are as most are: of a power of two values, rotated half against half as a whole.
inline bool has_usual_heads(const LinearHeads& heads) {
  return heads.table != nullptr && !heads.is_interleaved && 2 * heads.pairs == heads.head_dim &&
         (heads.head_dim & (heads.head_dim - 1)) == 0;
}

/// Of kernels that have all parts, in tiles of 8 or 16 outputs, and may place heads: end_of() where all else
/// is usual, too. Steps and tiles are whole, and all outputs are of one part or of usual heads.
inline LinearEnd usual_end(const SkinnyLinear& linear, const LinearHeads& heads) {
  if (linear.dtype != DType::bf16 || linear.in % kStep != 0) return LinearEnd::any;
  if (heads.heads > 0 ? !has_usual_heads(heads) : linear.part_count != 1) return LinearEnd::any;
  for (int i = 0; i < linear.part_count; ++i) {
    if (linear.parts[i].outputs % (2 * kPieceRows) != 0) return LinearEnd::any;
  }
  return end_of(linear);
}

}  // namespace ingot::cuda
