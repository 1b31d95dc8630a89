// Skinny linears of more rows than a few, on devices with clusters of blocks.
#pragma once

#include "backend/cuda/kernels/linear_tiles.cuh"

namespace ingot::cuda {

/// Runs it with the bits of linear_skinny.h, or returns false: for few rows, or another device.
bool run_linear_wide(const Gpu& gpu, const SkinnyArguments& arguments);

}  // namespace ingot::cuda
