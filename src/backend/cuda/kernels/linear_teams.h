// Skinny linears of some 20 to 30 rows, on devices with clusters of blocks.
#pragma once

#include "backend/cuda/kernels/linear_tiles.cuh"

namespace ingot::cuda {

/// Runs it with the bits of linear_skinny.h, or returns false: for other numbers of rows, or another device.
bool run_linear_teams(const Gpu& gpu, const SkinnyArguments& arguments);

}  // namespace ingot::cuda
