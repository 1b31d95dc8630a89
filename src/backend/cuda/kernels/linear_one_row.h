// Skinny linears of one row.
#pragma once

#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_skinny.h"
#include "backend/cuda/kernels/sample.h"
#include "backend/cuda/kernels/weights_ahead.h"

namespace ingot::cuda {

/// Whether there is a kernel for one row of so many values, and whether it also prepares the row.
bool has_linear_one_row(const Gpu& gpu, int64_t in);
bool prepares_one_row(const Gpu& gpu, int64_t in);

/// Whether it also places the heads of linear_qkv.
bool places_heads_of_one_row(const Gpu& gpu, const LinearHeads& heads);

/// Runs it with the bits of linear_skinny.h. `row`: what is still to be prepared, in place of linear.x and
/// linear.row_scales; none where its x is null. `heads`: to be placed, in place of what linear.parts say of
/// outputs; none where it has no heads. `watch`: of the outputs of the only part, none where it has no bests;
/// its count is at least twice the multiprocessors.
void run_linear_one_row(const Gpu& gpu, const SkinnyLinear& linear, const RowPreparation& row,
                        const LinearHeads& heads, const LogitsWatch& watch = {}, const WeightsAhead& ahead = {});

}  // namespace ingot::cuda
