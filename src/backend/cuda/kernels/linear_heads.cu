#include "backend/cuda/kernels/linear_heads.h"

#include "backend/cuda/kernels/linear_heads.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kWarps = 4;  // of a block: a head each

/// Heads of all rows.
__device__ int64_t head_items(const LinearHeads& h) {
  return h.rows * (h.heads + 2 * h.kv_heads);
}

/// A head by its number: row by row, queries, then keys, then values.
__device__ void place_item(const LinearHeads& h, int64_t item) {
  const auto of_row = static_cast<unsigned>(h.heads + 2 * h.kv_heads);
  const int64_t row = static_cast<unsigned>(item) / of_row;  // 64-bit divisions are long
  const int64_t head = static_cast<unsigned>(item) % of_row;
  const int64_t of_keys = head - h.heads;
  const int64_t of_values = of_keys - h.kv_heads;
  place_head(h, row, head,
             of_keys < 0     ? h.q + row * h.q_stride + head * h.head_dim
             : of_values < 0 ? h.k + row * h.k_stride + of_keys * h.head_dim
                             : h.v + row * h.v_stride + of_values * h.head_dim);
}

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
