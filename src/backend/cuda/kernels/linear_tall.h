// Gated linears of some 10 to 64 rows in tall tiles, one for each multiprocessor (compute capability 9.0).
#pragma once

#include "backend/cuda/kernels/linear_tiles.cuh"

namespace ingot::cuda {

inline constexpr int kMostTallOutputs = 128;  // of a tile

/// Outputs of a tile, or 0: there is no such kernel for this linear. It is for usual gated ends in bf16 whose
/// outputs are few enough for one tile a multiprocessor.
int tall_tile(const Gpu& gpu, const SkinnyLinear& linear);

/// Runs it, where there is a tall_tile(), with the bits of linear_skinny.h.
void run_linear_tall(const Gpu& gpu, const SkinnyArguments& arguments);

}  // namespace ingot::cuda
