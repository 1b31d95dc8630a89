// Skinny linears of some 10 to 64 rows on the tensor cores of compute capability 9.0.
#pragma once

#include "backend/cuda/kernels/linear_tiles.cuh"

namespace ingot::cuda {

/// Runs it with the bits of linear_skinny.h, or returns false where there are no batch_tiles(). `tile`: one
/// of them; 0: the rule's.
bool run_linear_batch(const Gpu& gpu, const SkinnyArguments& arguments, int tile);

}  // namespace ingot::cuda
