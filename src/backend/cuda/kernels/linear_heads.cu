#include "backend/cuda/kernels/linear_heads.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kWarps = 4;  // of a block: a head each

__global__ void __launch_bounds__(kWarps* kWarp) linear_heads(const __grid_constant__ LinearHeads h) {
  begin_next_kernel();
  wait_for_inputs();
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (item < head_items(h)) place_item(h, item);
}

}  // namespace

void run_linear_heads(const Gpu& gpu, const LinearHeads& heads) {
  const int64_t items = heads.rows * (heads.heads + 2 * heads.kv_heads);
  if (items == 0 || heads.head_dim == 0) return;
  launch_overlapped<LinearHeads>(
      gpu, linear_heads,
      {.blocks = static_cast<unsigned>(divide_up(items, kWarps)), .threads = kWarps * kWarp}, heads);
}

}  // namespace ingot::cuda
