#include "gpu_cuda/trap.h"

namespace ingot::cuda {
namespace {

__global__ void trap() {
  __trap();
}

}  // namespace

void run_trap(const Gpu& gpu) {
  trap<<<1, 1, 0, gpu.stream>>>();
}

}  // namespace ingot::cuda
