// The norm of a head, its rotation, and where it is written, by a warp.
#pragma once

#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/linear_heads.h"

namespace ingot::cuda {

/// A head of kDim values that are all rotated, half against half: rotate_head() with every load ahead of the
/// first use.
template <int kDim>
__device__ __forceinline__ void rotate_whole_head(const LinearHeads& h, int64_t row, const float* from,
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

/// The norm and the rotation of one head of one row, by a warp. Both values of a pair belong to one lane, so
/// `from` may be `to`.
__device__ inline void rotate_head(const LinearHeads& h, int64_t row, const float* from, float* to,
                                   const FloatRow& norm) {
  if (h.table != nullptr && !h.is_interleaved && 2 * h.pairs == h.head_dim) {
    if (h.head_dim == 128) return rotate_whole_head<128>(h, row, from, to, norm);
    if (h.head_dim == 64) return rotate_whole_head<64>(h, row, from, to, norm);
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

/// Where a row's keys, or values, of a head belong in the cache, in numbers; less than 0: nowhere.
__device__ inline int64_t place_in_cache(const LinearHeads& h, int64_t row, int64_t kv_head) {
  const int slot = h.slots[row];
  if (slot < 0 || slot >= h.pages * h.page_tokens) return -1;
  const int page_tokens = static_cast<int>(h.page_tokens);  // 64-bit divisions are long
  const int page = slot / page_tokens;
  return ((page * h.kv_heads + kv_head) * page_tokens + slot - page * page_tokens) * h.head_dim;
}

/// One head of a row, of queries, then keys, then values, whose products are at `from`.
__device__ inline void place_head(const LinearHeads& h, int64_t row, int64_t head, const float* from) {
  float* to = h.q_out + (row * h.heads + head) * h.head_dim;
  FloatRow norm = h.q_norm;
  if (head >= h.heads) {
    const bool is_key = head < h.heads + h.kv_heads;
    const int64_t at = place_in_cache(h, row, head - h.heads - (is_key ? 0 : h.kv_heads));
    if (at < 0) return;
    if (!is_key) {
      for (int64_t i = threadIdx.x % kWarp; i < h.head_dim; i += kWarp) h.values[at + i] = from[i];
      return;
    }
    to = h.keys + at;
    norm = h.k_norm;
  }
  rotate_head(h, row, from, to, norm);  // in one place: it is long
}

}  // namespace ingot::cuda
