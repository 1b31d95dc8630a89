// A block of attention in f16: warpgroups that multiply, and a warp that has the copy engine bring what they
// need. The block goes from tile of queries to tile of queries; the warp is ahead by two tiles of keys and
// values, and by the next queries.
#pragma once

#include "backend/cuda/kernels/attention_f16.h"
#include "backend/cuda/kernels/attention_tiles.cuh"
#include "backend/cuda/kernels/bulk_copies.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/warpgroup_products.cuh"

namespace ingot::cuda {

constexpr int kGroupThreads = 128;
constexpr int kGroupQueries = 64;
constexpr int kKeyStages = 2;   // of keys, and of values
constexpr int kTileStages = 2;  // of QueryTile

/// kGroups_: warpgroups that multiply. kTurns_: two of them take turns.
template <int kHeadDim_, int kGroups_, bool kTurns_ = kGroups_ == 2>
struct FlashShape {
  static constexpr bool kTurns = kTurns_;
  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kGroups = kGroups_;
  static constexpr int kQueries = kGroups * kGroupQueries;
  static constexpr int kThreads = (kGroups + 1) * kGroupThreads;
  static constexpr int kPanelBytes = kGroupQueries * kHeadDim * 2;  // a warpgroup's queries
  using Tile = F16Tile<kHeadDim>;
  static constexpr int kStages = kGroups * kPanelBytes;
  static constexpr int kRaw = kStages + kKeyStages * 2 * Tile::kHalfBytes;
  static constexpr int kSharedBytes = kRaw + kQueries * kHeadDim * 4 + 1024;  // however it is aligned
};

/// A tile of queries, and its key head.
struct HeadTile {
  QueryTile tile;
  int head;  // of the pass
};

struct FlashShared {
  int4 are_usual[kKeyStages];  // whether the parts' keys and values have the usual scales
  HeadTile tiles[kTileStages];
  PhaseBarrier tile_there[kTileStages];
  PhaseBarrier tile_read[kTileStages];
  PhaseBarrier queries_there;
  PhaseBarrier queries_read;
  PhaseBarrier keys_there[kKeyStages];
  PhaseBarrier keys_read[kKeyStages];
  PhaseBarrier values_there[kKeyStages];
  PhaseBarrier values_read[kKeyStages];

  /// Of a stage whose keys are there.
  __device__ bool is_usual(int stage) const {
    const int4 parts = are_usual[stage];
    return (parts.x & parts.y & parts.z & parts.w) != 0;
  }

  /// By one thread. What was brought is read by so many warps.
  __device__ void begin(int warps) {
    for (int i = 0; i < 2; ++i) {
      begin_barrier(&tile_there[i], 1);
      begin_barrier(&tile_read[i], warps);
      begin_barrier(&keys_there[i], 1);
      begin_barrier(&keys_read[i], warps);
      begin_barrier(&values_there[i], 1);
      begin_barrier(&values_read[i], warps);
    }
    begin_barrier(&queries_there, 1);
    begin_barrier(&queries_read, warps);
    fence_barriers();
  }
};
static_assert(kKeyStages == 2 && kTileStages == 2);

/// Tiles of keys that a tile of queries sees.
struct KeyRange {
  int begin;
  int end;
};

__device__ inline int position_of(const QueryTile& tile, int group, int query) {
  return tile.position + min(query, tile.queries - 1) / group;
}
__device__ inline KeyRange keys_of(const PagedAttention& a, const QueryTile& tile, int group,
                                   int tile_queries) {
  return {first_key(a, position_of(tile, group, tile.first)) / kF16TileKeys,
          position_of(tile, group, tile.first + tile_queries - 1) / kF16TileKeys + 1};
}
/// Floats from the start of q, and of out, to a query's head.
__device__ inline int64_t query_offset(const PagedAttention& a, const QueryTile& tile, int kv_head, int group,
                                       int query) {
  const int row = query / group;
  return ((static_cast<int64_t>(tile.row) + row) * a.heads + kv_head * group + query - row * group) *
         a.head_dim;
}
__device__ inline const char* keys_of_head(const F16Pass& pass, int sequence, int head, int tile_bytes) {
  return pass.tiles + (int64_t{sequence} * pass.heads + head) * pass.tiles_of_sequence * tile_bytes;
}

/// Begins to copy a tile's queries as they are: a row's heads lie side by side.
template <class S>
__device__ void bring_queries(const PagedAttention& a, const QueryTile& tile, int kv_head, int group,
                              char* raw, PhaseBarrier* barrier) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int end = min(tile.first + S::kQueries, tile.queries);
  constexpr int kBytes = S::kHeadDim * 4;
  if (lane == 0) arrive_expecting(barrier, (end - tile.first) * kBytes);
  __syncwarp();
  for (int row = tile.first / group + lane; row * group < end; row += kWarp) {
    const int from = max(tile.first, row * group);
    const int to = min(end, (row + 1) * group);
    copy_bulk(raw + (from - tile.first) * kBytes, a.q + query_offset(a, tile, kv_head, group, from),
              (to - from) * kBytes, barrier);
  }
}

/// What the copying warp does. Until wait_for_inputs() it reads what was there before keys came to f16.
template <class S>
__device__ void bring(const F16Pass& pass, FlashShared& shared, char* panels) {
  using Tile = typename S::Tile;
  const PagedAttention& a = pass.attention;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int group = a.heads / a.kv_heads;
  const auto take_number = [&] { return static_cast<int>(gridDim.x) + atomicAdd(pass.begun, 1); };
  int number = static_cast<int>(blockIdx.x);  // of the next tile, which lane 0 knows
  int begun = 0;                              // tiles of queries
  // Shows the next tile to the warps that multiply, and begins to copy its queries. At the end: sequence -1.
  const auto begin_tile = [&] {
    const int slot = begun % kTileStages;
    wait_for_phase(&shared.tile_read[slot], begun / kTileStages % 2 ^ 1);
    HeadTile& next = shared.tiles[slot];
    bool is_end = false;
    for (;;) {
      number = __shfl_sync(~0U, number, 0);
      is_end = number >= pass.query_tiles * pass.heads;
      // The last tiles, which have the most keys, first; heads side by side.
      find_tile_in_warp(a, group, S::kQueries, is_end ? -1 : pass.query_tiles - 1 - number / pass.heads,
                        next.tile);
      if (lane == 0) next.head = number % pass.heads;
      __syncwarp();
      if (next.tile.sequence >= 0 || is_end) break;
      wait_for_inputs();
      __syncwarp();
      if (lane == 0) number = take_number();
    }
    const HeadTile found = next;
    __syncwarp();
    if (lane == 0) arrive(&shared.tile_there[slot]);
    if (is_end) return found;
    wait_for_phase(&shared.queries_read, begun % 2 ^ 1);
    bring_queries<S>(a, found.tile, pass.first_head + found.head, group, panels + S::kRaw,
                     &shared.queries_there);
    ++begun;
    return found;
  };

  int step = 0;  // tiles of keys
  HeadTile current = begin_tile();
  wait_for_inputs();
  while (current.tile.sequence >= 0) {
    const char* source = keys_of_head(pass, current.tile.sequence, current.head, Tile::kBytes);
    const KeyRange keys = keys_of(a, current.tile, group, S::kQueries);
    // The next tile is taken early, so that its queries are there in time, but where few are left: then late,
    // so that blocks end together. Before the third tile of keys this one's queries may still be waited for.
    const bool are_many = number + 2 * static_cast<int>(gridDim.x) < pass.query_tiles * pass.heads;
    const int first_look = min(keys.begin + kKeyStages, keys.end);
    const int look_ahead = are_many ? first_look : max(first_look, keys.end - 2);
    for (int i = keys.begin; i <= keys.end; ++i) {
      if (i == max(keys.begin, look_ahead - 1) && lane == 0) number = take_number();
      if (i == look_ahead) current = begin_tile();
      if (i == keys.end) break;
      const int stage = step % kKeyStages;
      const int phase = step / kKeyStages % 2;
      const char* from = source + int64_t{i} * Tile::kBytes;
      char* to = panels + S::kStages + stage * 2 * Tile::kHalfBytes;
      ++step;
      if (lane != 0) continue;
      wait_for_phase(&shared.keys_read[stage], phase ^ 1);
      arrive_expecting(&shared.keys_there[stage], Tile::kHalfBytes + static_cast<int>(sizeof(int4)));
      copy_bulk(to, from, Tile::kHalfBytes, &shared.keys_there[stage]);
      copy_bulk(&shared.are_usual[stage], from + Tile::kIsUsual, sizeof(int4), &shared.keys_there[stage]);
      wait_for_phase(&shared.values_read[stage], phase ^ 1);
      arrive_expecting(&shared.values_there[stage], Tile::kHalfBytes);
      copy_bulk(to + Tile::kHalfBytes, from + Tile::kValues, Tile::kHalfBytes, &shared.values_there[stage]);
    }
  }
}

}  // namespace ingot::cuda
