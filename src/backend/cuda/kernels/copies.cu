#include "backend/cuda/kernels/copies.h"

#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 256;
constexpr uint32_t kPartBytes = kThreads * 16;

/// Grid: (parts of the longest copy, copies).
__global__ void copy_small(const __grid_constant__ SmallCopies copies) {
  wait_for_inputs();  // and lets nobody begin before it is done (linear_overlap.cuh)
  const SmallCopies::Item item = copies.items[blockIdx.y];
  const uint32_t first = blockIdx.x * kPartBytes + threadIdx.x * 16;
  if (first >= item.bytes) return;
  const char* from = static_cast<const char*>(item.from) + first;
  char* to = static_cast<char*>(item.to) + first;
  if (item.bytes - first >= 16) {
    *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
    return;
  }
  for (uint32_t i = 0; i < item.bytes - first; ++i) to[i] = from[i];
}

}  // namespace

void run_small_copies(const Gpu& gpu, const SmallCopies& copies) {
  uint32_t longest = 0;
  for (int i = 0; i < copies.count; ++i) {
    if (copies.items[i].bytes > longest) longest = copies.items[i].bytes;
  }
  if (longest == 0) return;
  launch_overlapped(gpu, copy_small,
                    {.blocks = (longest + kPartBytes - 1) / kPartBytes,
                     .blocks_y = static_cast<unsigned>(copies.count),
                     .threads = kThreads},
                    copies);
}

}  // namespace ingot::cuda
