// Several small copies in one launch: a step's inputs, read by the device from pinned host memory, and its
// outputs, written there. A copy engine would take a microsecond or more for each.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

struct SmallCopies {
  static constexpr int kMost = 24;
  static constexpr size_t kMostBytes = size_t{256} << 10;  // each; larger ones are for the copy engine
  struct Item {
    void* to;
    const void* from;
    uint32_t bytes;
  };
  int count = 0;
  Item items[kMost] = {};
};

/// All addresses are aligned to 16; places do not overlap.
void run_small_copies(const Gpu& gpu, const SmallCopies& copies);

}  // namespace ingot::cuda
