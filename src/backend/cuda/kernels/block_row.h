// Linears of one row with weights in blocks, in one launch with all that precedes and follows the products.
#pragma once

#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_skinny.h"

namespace ingot::cuda {

/// Whether there is a kernel for one row of so many values and a weight of this type: from compute capability
/// 9.0 on.
bool has_block_row(const Gpu& gpu, DType dtype, int64_t in);

/// Whether it also places the heads of linear_qkv.
bool places_heads_of_block_row(const LinearHeads& heads);

/// Runs the parts of `linear` (its x is not used), all of linear.dtype, with the bits of run_block_product().
/// `row`: what is multiplied, still to be normalised and rounded. `heads`: to be placed, in place of what
/// linear.parts say of outputs; none where it has no heads.
void run_block_row(const Gpu& gpu, const SkinnyLinear& linear, const RowPreparation& row,
                   const LinearHeads& heads);

}  // namespace ingot::cuda
