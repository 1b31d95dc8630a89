// A kernel that ends in a trap, as one with an error would: the device is lost to the process.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

void run_trap(const Gpu& gpu);

}  // namespace ingot::cuda
