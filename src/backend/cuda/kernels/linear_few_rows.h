// Skinny linears of two to four rows.
#pragma once

#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_skinny.h"

namespace ingot::cuda {

/// Whether there is a kernel for so many rows of so many values.
bool has_linear_few_rows(const Gpu& gpu, int64_t rows, int64_t in);

/// Whether it also places the heads of linear_qkv.
bool places_heads_of_few_rows(const LinearHeads& heads);

/// Runs it with the bits of linear_skinny.h. `heads`: to be placed, in place of what linear.parts say of
/// outputs; none where it has no heads.
void run_linear_few_rows(const Gpu& gpu, const SkinnyLinear& linear, const LinearHeads& heads);

}  // namespace ingot::cuda
