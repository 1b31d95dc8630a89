// Attention's launches read into arguments for device code.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/kernels/attention.h"

namespace ingot::cuda {

PagedAttention read_attention(const backend::Launch& launch);

/// The keys that a row of such a launch sees at most.
int most_keys(const PagedAttention& attention);

}  // namespace ingot::cuda
