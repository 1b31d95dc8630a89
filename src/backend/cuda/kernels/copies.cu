#include "backend/cuda/kernels/copies.h"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 256;
constexpr uint32_t kPartBytes = kThreads * 16;

/// Grid: (parts of the longest copy, copies).
__global__ void copy_small(const SmallCopies copies) {
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
  const dim3 grid((longest + kPartBytes - 1) / kPartBytes, static_cast<unsigned>(copies.count));
  copy_small<<<grid, kThreads, 0, gpu.stream>>>(copies);
}

}  // namespace ingot::cuda
