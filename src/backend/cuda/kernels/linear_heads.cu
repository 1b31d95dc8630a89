#include "backend/cuda/kernels/linear_heads.h"

#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kWarps = 4;  // of a block: a head each

/// A head of kDim values that are all rotated, half against half: place_head() with every load ahead of the
/// first use.
template <int kDim>
__device__ __forceinline__ void place_whole_head(const LinearHeads& h, int64_t row, const float* from,
                                                 float* to, const FloatRow& norm) {
  constexpr int kOwn = kDim / kWarp;
  constexpr int kPairs = kOwn / 2;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const float* cosines = h.table + row * 2 * h.pairs;
  float x[kOwn];
  float weight[kOwn];
  float cosine[kPairs];
  float sine[kPairs];
#pragma unroll
  for (int i = 0; i < kOwn; ++i) x[i] = from[i * kWarp + lane];
#pragma unroll
  for (int i = 0; i < kOwn; ++i) weight[i] = norm.data == nullptr ? 1 : load_float(norm, i * kWarp + lane);
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    cosine[i] = cosines[i * kWarp + lane];
    sine[i] = cosines[kDim / 2 + i * kWarp + lane];
  }
  if (norm.data != nullptr) {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) squares = fmaf(x[i], x[i], squares);
    squares = sum_of_warp(squares);
    const float scale = 1.0F / sqrtf(squares / static_cast<float>(kDim) + h.norm_eps);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) x[i] = __fmul_rn(__fmul_rn(x[i], scale), weight[i]);
  }
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const float a = x[i];
    const float b = x[i + kPairs];
    to[i * kWarp + lane] = __fmaf_rn(a, cosine[i], -__fmul_rn(b, sine[i]));
    to[kDim / 2 + i * kWarp + lane] = __fmaf_rn(b, cosine[i], __fmul_rn(a, sine[i]));
  }
}

/// One head of one row, by a warp. Both values of a pair belong to one lane, so `from` may be `to`.
__device__ void place_head(const LinearHeads& h, int64_t row, const float* from, float* to,
                           const FloatRow& norm) {
  if (h.table != nullptr && !h.is_interleaved && 2 * h.pairs == h.head_dim) {
    if (h.head_dim == 128) return place_whole_head<128>(h, row, from, to, norm);
    if (h.head_dim == 64) return place_whole_head<64>(h, row, from, to, norm);
  }
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float scale = 1;
  if (norm.data != nullptr) {
    float squares = 0;
    for (int64_t i = lane; i < h.head_dim; i += kWarp) squares = fmaf(from[i], from[i], squares);
    squares = sum_of_warp(squares);
    scale = 1.0F / sqrtf(squares / static_cast<float>(h.head_dim) + h.norm_eps);
  }
  const auto value = [&](int64_t i) {
    return norm.data == nullptr ? from[i] : __fmul_rn(__fmul_rn(from[i], scale), load_float(norm, i));
  };
  const int64_t pairs = h.table == nullptr ? 0 : h.pairs;
  const float* cosines = h.table + row * 2 * pairs;
  for (int64_t i = lane; i < pairs; i += kWarp) {
    const int64_t first = h.is_interleaved ? 2 * i : i;
    const int64_t second = h.is_interleaved ? 2 * i + 1 : i + pairs;
    const float cosine = cosines[i];
    const float sine = cosines[pairs + i];
    const float a = value(first);
    const float b = value(second);
    to[first] = __fmaf_rn(a, cosine, -__fmul_rn(b, sine));
    to[second] = __fmaf_rn(b, cosine, __fmul_rn(a, sine));
  }
  for (int64_t i = 2 * pairs + lane; i < h.head_dim; i += kWarp) to[i] = value(i);
}

/// Heads of all rows.
__device__ int64_t head_items(const LinearHeads& h) {
  return h.rows * (h.heads + 2 * h.kv_heads);
}

/// A head by its number: row by row, queries, then keys, then values.
__device__ void place_item(const LinearHeads& h, int64_t item) {
  const int64_t of_row = h.heads + 2 * h.kv_heads;
  const int64_t row = item / of_row;
  const int64_t head = item % of_row;
  if (head < h.heads) {
    place_head(h, row, h.q + row * h.q_stride + head * h.head_dim,
               h.q_out + (row * h.heads + head) * h.head_dim, h.q_norm);
    return;
  }
  const int64_t slot = h.slots[row];
  if (slot < 0 || slot >= h.pages * h.page_tokens) return;
  const bool is_key = head < h.heads + h.kv_heads;
  const int64_t kv_head = head - h.heads - (is_key ? 0 : h.kv_heads);
  const int64_t at =
      ((slot / h.page_tokens * h.kv_heads + kv_head) * h.page_tokens + slot % h.page_tokens) * h.head_dim;
  if (is_key) {
    place_head(h, row, h.k + row * h.k_stride + kv_head * h.head_dim, h.keys + at, h.k_norm);
    return;
  }
  const float* from = h.v + row * h.v_stride + kv_head * h.head_dim;
  for (int64_t i = threadIdx.x % kWarp; i < h.head_dim; i += kWarp) h.values[at + i] = from[i];
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
