// Attention of one row over one piece of its keys, for the query heads of one key head, by a team of 128
// threads.
//
// The lanes of a group, mostly a warp, hold one vector of 16 bytes of a key each; a group takes a few keys at
// a time. What its lanes have multiplied is added by halves: each step a lane keeps half of its (key, head)
// pairs and gives the other half away, so that in the end it has the score of one pair, and each exponential
// is taken once. Keys and values come through a ring in shared memory (attention_ring.cuh) of which every
// thread reads only what it copied itself: no barrier stands in the loop. Groups keep softmaxes of their own,
// which are joined in a fixed order at the end.
#pragma once

#include <cmath>

#include "backend/cuda/kernels/attention_rows.cuh"

namespace ingot::cuda {

inline constexpr int kTeam = 128;  // threads
inline constexpr int kTeamWarps = kTeam / kWarp;

/// kHeads: query heads at once. kKeys: that a group takes at a time.
template <int kHeadDim_, int kHeads_, int kKeys_>
struct PieceShape {
  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kHeads = kHeads_;
  static constexpr int kKeys = kKeys_;
  static constexpr int kVectors = kHeadDim / 4;  // of 16 bytes
  static constexpr int kLanes =
      (kVectors & -kVectors) < kWarp ? (kVectors & -kVectors) : kWarp;  // of a group
  static constexpr int kParts = kVectors / kLanes;                      // vectors of a lane
  static constexpr int kGroups = kWarp / kLanes;                        // of a warp
  static constexpr int kWarpKeys = kKeys * kGroups;
  static constexpr int kTeamKeys = kWarpKeys * kTeamWarps;            // at a time
  static constexpr int kPairs = kKeys * kHeads;                       // of a key and a head
  static constexpr int kOwn = kPairs > kLanes ? kPairs / kLanes : 1;  // that a lane ends up with: of one head
  static constexpr int kCopies = kLanes * kOwn / kPairs;              // lanes that end up with the same
  static constexpr int kBlocks = kHeads * kParts;                     // of kLanes vectors, of what is mixed
  static constexpr int kStageVectors = kKeys * kParts;                // of a thread: of keys, or of values
  static constexpr int kStageBytes = kStageVectors * kTeam * 16;
  static_assert(kHeadDim % 4 == 0 && kWarpKeys <= kWarp && kHeads <= kLanes && kOwn <= kKeys);
};

/// The shape by which all kernels attend: the order of sums depends on it.
template <int kHeadDim, int kHeads>
using PieceOf = PieceShape<kHeadDim, kHeads, kHeadDim == 96 || kHeadDim == 256 ? 2 : 4>;

/// What a team shares.
template <typename S>
struct PieceScratch {
  float4 blocks[kTeamWarps][kTeamWarps - 1][S::kLanes];  // [who finishes it][who else has a part of it]
  float2 stats[kTeamWarps * S::kGroups][S::kHeads];      // of each group: highest score, sum of weights
};

struct AttentionPiece {
  int row;
  int split;
  AttentionRow place;
};

/// A piece for the query heads from `head_in_group` on of a key head.
struct PieceItem {
  AttentionPiece piece;
  int kv_head;
  int head_in_group;
};

/// What a warp takes of a piece: of each batch of keys kWarpKeys neighbours.
template <typename S>
struct WarpKeys {
  const int32_t* pages;
  int kv_head;
  int begin;  // position of the piece's first key
  int count;  // keys of the piece
  int batches;

  WarpKeys() = default;
  __device__ __forceinline__ WarpKeys(const PagedAttention& a, const PieceItem& item, int warp) {
    const AttentionRow& place = item.piece.place;
    const int keys = place.keys();
    const int split_size = split_keys(keys, a.kv_heads);
    pages = a.block_table + static_cast<int64_t>(place.sequence) * a.pages;
    kv_head = item.kv_head;
    begin = place.first + item.piece.split * split_size;
    count = min(split_size, keys - item.piece.split * split_size);
    const int first = warp * S::kWarpKeys;
    batches = count > first ? (count - first - 1) / S::kTeamKeys + 1 : 0;
  }
  /// Each lane finds one of the batch's keys: the row of the cache.
  __device__ __forceinline__ uint32_t find(const PagedAttention& a, int batch, int warp,
                                           int warp_lane) const {
    const int key = batch * S::kTeamKeys + warp * S::kWarpKeys + warp_lane % S::kWarpKeys;
    return cache_row(a, pages, kv_head, begin + min(key, count - 1));
  }
};

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

/// By all threads of a block, kTeam; `thread`: of these. `queries`: of the item's heads, [heads, head_dim].
/// What the team shares may be used again for the next piece at once. `ring`: the team's PieceRing, which
/// comes to this item now. `sums` takes what a piece that is not all of its row comes to: put(head of the
/// item, dim, values, highest score, sum of weights) for four dimensions.
template <typename S, typename Ring, typename Sums>
__device__ __forceinline__ void attend_piece(const PagedAttention& a, const PieceItem& item,
                                             const float* queries, int thread, PieceScratch<S>& scratch,
                                             Ring&& ring, Sums&& sums) {
  using piece::Vectors;
  constexpr int kLanes = S::kLanes;
  constexpr unsigned kAll = 0xffffffff;
  const AttentionPiece& piece = item.piece;
  const int group_heads = a.heads / a.kv_heads;
  const int heads = min(S::kHeads, group_heads - item.head_in_group);
  const int64_t first_head =
      static_cast<int64_t>(piece.row) * a.heads + item.kv_head * group_heads + item.head_in_group;

  const int warp = thread / kWarp;
  const int warp_lane = thread % kWarp;
  const int lane = warp_lane % kLanes;
  const int group = warp_lane / kLanes;
  const int pair = lane / S::kCopies;  // of (first key / kOwn, head), that this lane ends up with
  const int own_head = pair % S::kHeads;
  const int own_key = pair / S::kHeads * S::kOwn;
  const WarpKeys<S> place(a, item, warp);
  const int batches = place.batches;
  const int count = place.count;
  const auto is_there = [&](int batch, int k) {
    return batch * S::kTeamKeys + warp * S::kWarpKeys + k * S::kGroups + group < count;
  };

  Vectors<S> key;
  Vectors<S> value;
  ring.next(a);
  float4 query[S::kHeads][S::kParts];
#pragma unroll
  for (int h = 0; h < S::kHeads; ++h) {
    // Heads beyond the group repeat its last one and are not written.
    const float* from = queries + min(h, heads - 1) * S::kHeadDim + 4 * lane;
#pragma unroll
    for (int part = 0; part < S::kParts; ++part)
      query[h][part] = *reinterpret_cast<const float4*>(from + part * 4 * kLanes);
  }
  float4 mixed[S::kHeads][S::kParts];
#pragma unroll
  for (int h = 0; h < S::kHeads; ++h) {
#pragma unroll
    for (int part = 0; part < S::kParts; ++part) mixed[h][part] = {0, 0, 0, 0};
  }
  float highest = -INFINITY;  // of this lane's head, in this group
  float sum = 0;              // of this lane's keys

#pragma unroll 1
  for (int batch = 0; batch < batches; ++batch) {
    if (batch > 0) ring.next(a);
    ring.read_keys(key);
    float scores[S::kOwn];
    piece::own_scores<S, 0>(query, key, lane, scores);
    float max = highest;
#pragma unroll
    for (int p = 0; p < S::kOwn; ++p) {
      scores[p] = __fmul_rn(scores[p], a.scale);
      if (is_there(batch, own_key + p)) max = fmaxf(max, scores[p]);
    }
#pragma unroll
    for (int other = S::kCopies * S::kHeads; other < kLanes; other *= 2)
      max = fmaxf(max, __shfl_xor_sync(kAll, max, other));
    const float rescale = piece::rescale(highest, max);
    highest = max;
    float weights = 0;
#pragma unroll
    for (int p = 0; p < S::kOwn; ++p) {
      scores[p] = is_there(batch, own_key + p) ? expf(scores[p] - max) : 0.0F;
      weights = __fadd_rn(weights, scores[p]);
    }
    sum = fmaf(sum, rescale, weights);
    // Times one is what it was: only time is saved.
    if (__any_sync(kAll, rescale != 1.0F)) {
#pragma unroll
      for (int h = 0; h < S::kHeads; ++h) {
        const float of_head = __shfl_sync(kAll, rescale, h * S::kCopies, kLanes);
#pragma unroll
        for (int part = 0; part < S::kParts; ++part) mixed[h][part] = piece::scaled(mixed[h][part], of_head);
      }
    }
    ring.read_values(value);
#pragma unroll
    for (int k = 0; k < S::kKeys; ++k) {
#pragma unroll
      for (int h = 0; h < S::kHeads; ++h) {
        const float weight =
            __shfl_sync(kAll, scores[k % S::kOwn], (k / S::kOwn * S::kHeads + h) * S::kCopies, kLanes);
#pragma unroll
        for (int part = 0; part < S::kParts; ++part)
          mixed[h][part] = piece::add(mixed[h][part], value[k][part], weight);
      }
    }
  }

  // All groups' softmaxes relative to the team's highest score: those of a warp by halves, then warp by warp.
#pragma unroll
  for (int other = S::kCopies * S::kHeads; other < kLanes; other *= 2)
    sum = __fadd_rn(sum, __shfl_xor_sync(kAll, sum, other));
  if (own_key == 0 && lane % S::kCopies == 0)
    scratch.stats[warp * S::kGroups + group][own_head] = {highest, sum};
  __syncthreads();
  constexpr int kTeamGroups = kTeamWarps * S::kGroups;
  float max = scratch.stats[0][own_head].x;
#pragma unroll 4
  for (int g = 1; g < kTeamGroups; ++g) max = fmaxf(max, scratch.stats[g][own_head].x);
  float total = 0;
#pragma unroll 4
  for (int g = 0; g < kTeamGroups; ++g) {
    const float2 of_group = scratch.stats[g][own_head];
    total = fmaf(piece::rescale(of_group.x, max), of_group.y, total);
  }
  const float rescale = piece::rescale(highest, max);
#pragma unroll
  for (int h = 0; h < S::kHeads; ++h) {
    const float of_head = __shfl_sync(kAll, rescale, h * S::kCopies, kLanes);
#pragma unroll
    for (int part = 0; part < S::kParts; ++part) {
      mixed[h][part] = piece::scaled(mixed[h][part], of_head);
#pragma unroll
      for (int other = kLanes; other < kWarp; other *= 2)
        mixed[h][part] = piece::add_of_lane(mixed[h][part], other);
    }
  }
  const bool is_all = count == piece.place.keys();
  // A warp finishes every fourth block of vectors, and takes the other warps' parts of it.
#pragma unroll
  for (int first = 0; first < S::kBlocks; first += kTeamWarps) {
    if (first > 0) __syncthreads();  // what was there has been read
    float4 own = {0, 0, 0, 0};
#pragma unroll
    for (int by = 0; by < kTeamWarps; ++by) {
      if (first + by >= S::kBlocks) continue;
      const float4 block = mixed[(first + by) / S::kParts][(first + by) % S::kParts];
      if (by == warp) {
        own = block;
      } else if (warp_lane < kLanes) {
        scratch.blocks[by][warp < by ? warp : warp - 1][lane] = block;
      }
    }
    __syncthreads();
    const int block = first + warp;
    const int h = min(block / S::kParts, S::kHeads - 1);
    const float of_head = __shfl_sync(kAll, total, h * S::kCopies, kLanes);
    const float highest_of_head = __shfl_sync(kAll, max, h * S::kCopies, kLanes);
    if (block >= S::kBlocks || h >= heads || warp_lane >= kLanes) continue;
    const auto part_of = [&](int w) {
      return w == warp ? own : scratch.blocks[warp][w < warp ? w : w - 1][lane];
    };
    float4 value_sum = part_of(0);
#pragma unroll
    for (int w = 1; w < kTeamWarps; ++w) value_sum = piece::add(value_sum, part_of(w));
    const int dim = (block % S::kParts * kLanes + lane) * 4;
    if (is_all) {
      put_output(a, (first_head + h) * S::kHeadDim + dim, piece::scaled(value_sum, 1.0F / of_head));
      continue;
    }
    sums.put(h, dim, value_sum, highest_of_head, of_head);
  }
}

}  // namespace ingot::cuda
