// How a team of 128 threads takes a piece of a row's keys (attention_piece.cuh): which keys, how many at a
// time, and what it shares.
#pragma once

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
    const int split_size = split_keys(a, keys);
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

}  // namespace ingot::cuda
