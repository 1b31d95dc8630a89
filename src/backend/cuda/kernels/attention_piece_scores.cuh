// What lanes compute with the vectors of keys and values that they hold (attention_piece.cuh), above all the
// scores of a group's keys: what its lanes have multiplied, added by halves.
#pragma once

#include "backend/cuda/kernels/attention_piece_shape.cuh"

namespace ingot::cuda {

namespace piece {

__device__ __forceinline__ float dot(float4 a, float4 b) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, __fmul_rn(a.x, b.x))));
}
__device__ __forceinline__ float dot(float4 a, float4 b, float sum) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}
__device__ __forceinline__ float4 scaled(float4 a, float scale) {
  return {__fmul_rn(a.x, scale), __fmul_rn(a.y, scale), __fmul_rn(a.z, scale), __fmul_rn(a.w, scale)};
}
__device__ __forceinline__ float4 add(float4 a, float4 b) {
  return {__fadd_rn(a.x, b.x), __fadd_rn(a.y, b.y), __fadd_rn(a.z, b.z), __fadd_rn(a.w, b.w)};
}
__device__ __forceinline__ float4 add(float4 sum, float4 a, float weight) {
  return {fmaf(weight, a.x, sum.x), fmaf(weight, a.y, sum.y), fmaf(weight, a.z, sum.z),
          fmaf(weight, a.w, sum.w)};
}
/// That of another lane, added.
__device__ __forceinline__ float4 add_of_lane(float4 a, int other) {
  return add(a, {__shfl_xor_sync(0xffffffff, a.x, other), __shfl_xor_sync(0xffffffff, a.y, other),
                 __shfl_xor_sync(0xffffffff, a.z, other), __shfl_xor_sync(0xffffffff, a.w, other)});
}
/// Past the first-level cache: another multiprocessor may have written it during this kernel.
__device__ __forceinline__ float4 load(const float* from) {
  float4 v;
  asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "l"(from)
               : "memory");
  return v;
}
/// exp(score - max) of a maximum that has grown to `max`; 1 also where there was none and is none.
__device__ __forceinline__ float rescale(float before, float max) {
  return before == max ? 1.0F : expf(before - max);
}

/// Keys, or values, of a group on their way.
template <typename S>
using Vectors = float4[S::kKeys][S::kParts];

/// Where the vectors of this lane of a group's key number k begin in the cache, of the keys that find()
/// found.
template <typename S>
__device__ __forceinline__ uint64_t offset(uint32_t found, int k, int warp_lane) {
  const uint32_t row = __shfl_sync(0xffffffff, found, k * S::kGroups + warp_lane / S::kLanes);
  return static_cast<uint64_t>(row) * S::kHeadDim + static_cast<uint64_t>(4 * (warp_lane % S::kLanes));
}

/// What lanes of a group whose numbers differ in `other` hold of `low` and `high`, added: of `low` in those
/// where that bit is 0.
__device__ __forceinline__ float halved(float low, float high, int lane, int other) {
  const bool upper = (lane & other) != 0;
  const float sum = __shfl_xor_sync(0xffffffff, upper ? low : high, other);
  return __fadd_rn(upper ? high : low, sum);
}

/// Scores of kCount keys, kOwn apart, halved among lanes.
template <typename S, int kKey, int kCount>
__device__ __forceinline__ void halve_keys(const float4 (&query)[S::kHeads][S::kParts], const Vectors<S>& key,
                                           int lane, float (&scores)[S::kHeads]) {
  if constexpr (kCount == 1) {
#pragma unroll
    for (int h = 0; h < S::kHeads; ++h) {
      scores[h] = dot(query[h][0], key[kKey][0]);
#pragma unroll
      for (int part = 1; part < S::kParts; ++part)
        scores[h] = dot(query[h][part], key[kKey][part], scores[h]);
    }
  } else {
    float high[S::kHeads];
    halve_keys<S, kKey, kCount / 2>(query, key, lane, scores);
    halve_keys<S, kKey + S::kOwn * kCount / 2, kCount / 2>(query, key, lane, high);
#pragma unroll
    for (int h = 0; h < S::kHeads; ++h)
      scores[h] = halved(scores[h], high[h], lane, S::kCopies * S::kHeads * kCount / 2);
  }
}

/// The score of this lane's head and one of its keys.
template <typename S, int kOwnKey>
__device__ __forceinline__ float own_score(const float4 (&query)[S::kHeads][S::kParts], const Vectors<S>& key,
                                           int lane) {
  float scores[S::kHeads];
  halve_keys<S, kOwnKey, S::kKeys / S::kOwn>(query, key, lane, scores);
#pragma unroll
  for (int left = S::kHeads / 2; left > 0; left /= 2) {
#pragma unroll
    for (int h = 0; h < S::kHeads / 2; ++h) {
      if (h < left) scores[h] = halved(scores[h], scores[h + left], lane, S::kCopies * left);
    }
  }
#pragma unroll
  for (int other = S::kCopies / 2; other > 0; other /= 2)
    scores[0] = __fadd_rn(scores[0], __shfl_xor_sync(0xffffffff, scores[0], other));
  return scores[0];
}

template <typename S, int kOwnKey>
__device__ __forceinline__ void own_scores(const float4 (&query)[S::kHeads][S::kParts], const Vectors<S>& key,
                                           int lane, float (&scores)[S::kOwn]) {
  if constexpr (kOwnKey < S::kOwn) {
    scores[kOwnKey] = own_score<S, kOwnKey>(query, key, lane);
    own_scores<S, kOwnKey + 1>(query, key, lane, scores);
  }
}

}  // namespace piece

}  // namespace ingot::cuda
