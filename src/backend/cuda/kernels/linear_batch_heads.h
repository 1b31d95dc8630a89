// Queries, keys and values of some 10 to 64 rows, whose heads the kernel of linear_batch.h places.
#pragma once

#include <vector>

#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_skinny.h"

namespace ingot::cuda {

/// Whether these products' heads are placed by their kernel.
bool places_heads_of_batch(const SkinnyLinear& linear, const LinearHeads& heads);

/// Outputs of a tile, on which no bit depends, where they are: the rule's first, then others to be tried.
std::vector<int> batch_head_tiles(const Gpu& gpu, const SkinnyLinear& linear);

/// Runs it with the bits of linear_skinny.h and linear_heads.h. Of `linear`'s outputs nothing is written.
/// `tile`: one of batch_head_tiles().
void run_linear_batch_heads(const Gpu& gpu, const SkinnyLinear& linear, const LinearHeads& heads, int tile);

}  // namespace ingot::cuda
