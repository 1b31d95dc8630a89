// Linears of one row with weights in blocks, in one launch with all that precedes and follows the products.
#pragma once

#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_skinny.h"

namespace ingot::cuda {

/// Whether there is a kernel for one row of so many values and a weight of this type.
bool has_block_row(const Gpu& gpu, DType dtype, int64_t in);

/// Runs the parts of `linear` (its x is not used), all of linear.dtype, with the bits of run_block_product().
/// `row`: what is multiplied, still to be normalised and rounded. `heads`: to be placed, in place of what
/// linear.parts say of outputs (places_heads_of_one_row()); none where it has no heads.
void run_block_row(const Gpu& gpu, const SkinnyLinear& linear, const RowPreparation& row,
                   const LinearHeads& heads);

}  // namespace ingot::cuda
