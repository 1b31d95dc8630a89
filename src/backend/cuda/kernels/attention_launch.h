// Attention's launches read into arguments for device code.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/kernels/attention.h"

namespace ingot::cuda {

PagedAttention read_attention(const backend::Launch& launch);

/// The keys that a row of such a launch sees at most.
int most_keys(const PagedAttention& attention);

/// The places of the pieces of generated tokens' rows in the launch's workspace; none where rows have one.
SplitSums split_sums(const PagedAttention& attention, const backend::Launch& launch);
/// Bytes that they take.
size_t split_sums_bytes(const PagedAttention& attention);

}  // namespace ingot::cuda
