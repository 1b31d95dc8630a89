// Weights of a kernel that comes later, which a kernel brings to the second-level cache while memory would
// have nothing to do.
#pragma once

#include <cstdint>

namespace ingot::cuda {

struct WeightsAhead {
  static constexpr int kMost = 3;
  struct Range {
    const void* data = nullptr;  // at a multiple of 16
    int64_t bytes = 0;
  };
  Range ranges[kMost] = {};
};

}  // namespace ingot::cuda
