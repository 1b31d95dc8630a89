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

#include "backend/cuda/kernels/attention_piece_scores.cuh"

namespace ingot::cuda {

/// By all threads of a block, kTeam; `thread`: of these. `place`: what its warp takes. `queries`: of the
/// item's heads, [heads, head_dim].
/// What the team shares may be used again for the next piece at once. `ring`: the team's PieceRing, which
/// comes to this item now. `sums` takes what a piece that is not all of its row comes to: put(head of the
/// item, dim, values, highest score, sum of weights) for four dimensions.
template <typename S, typename Ring, typename Sums>
__device__ __forceinline__ void attend_piece(const PagedAttention& a, const PieceItem& item,
                                             const WarpKeys<S>& place, const float* queries, int thread,
                                             PieceScratch<S>& scratch, Ring&& ring, Sums&& sums) {
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
  const int batches = place.batches;
  const int count = place.count;
  const auto is_there = [&](int batch, int k) {
    return batch * S::kTeamKeys + warp * S::kWarpKeys + k * S::kGroups + group < count;
  };

  Vectors<S> key;
  Vectors<S> value;
  float4 query[S::kHeads][S::kParts];
#pragma unroll
  for (int h = 0; h < S::kHeads; ++h) {
    // Heads beyond the group repeat its last one and are not written.
    const float* from = queries + min(h, heads - 1) * S::kHeadDim + 4 * lane;
#pragma unroll
    for (int part = 0; part < S::kParts; ++part)
      query[h][part] = *reinterpret_cast<const float4*>(from + part * 4 * kLanes);
  }
  ring.next(a);
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
