// Copies that change no value: rows between arrays of other pitches, and axes in another order.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

/// Row r of `row_bytes` bytes goes from `from + r * from_pitch` to `to + r * to_pitch`.
struct RowCopy {
  void* to = nullptr;
  const void* from = nullptr;
  int64_t rows = 0;
  int64_t row_bytes = 0;
  int64_t to_pitch = 0;
  int64_t from_pitch = 0;
};
void run_row_copy(const Gpu& gpu, const RowCopy& copy);

/// The item at (i0, i1, …) of a contiguous output is the one at i0 * strides[0] + i1 * strides[1] + … of the
/// input, whose items these are, each once.
struct Permutation {
  static constexpr int kMaxRank = 5;
  void* to = nullptr;
  const void* from = nullptr;
  int64_t item_bytes = 0;  // 1, 2, 4 or 8
  int rank = 0;
  int64_t extents[kMaxRank] = {};  // of the output
  int64_t strides[kMaxRank] = {};  // of the input, in items
};
void run_permutation(const Gpu& gpu, const Permutation& permutation);

}  // namespace ingot::cuda
