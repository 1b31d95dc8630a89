// attention for prompt tokens: online softmax over blocks of keys (Milakov and Gimelshein, 2018; Dao et al.,
// 2022) for a tile of queries that share a key head.
//
// As in linear_prefill-inl.h, vectors run along the queries (rows, and the heads that share a key head): each
// key and value is loaded once for all of them, and nothing is summed across lanes. A query is a lane of its
// own that keys outside its view do not touch, so its bits depend neither on its tile nor on how a prompt is
// cut into chunks.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/attention_prefill.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <limits>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/attention.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/linear_prefill-inl.h"
#include "backend/cpu/kernels/simd.h"

#ifndef INGOT_CPU_ATTENTION_PREFILL_TYPES
#define INGOT_CPU_ATTENTION_PREFILL_TYPES
namespace ingot::cpu {

// Keys of a block, which lie at multiples of it from the sequence's start. Whole register blocks of every
// target; with 32 queries the scores take 6 KiB.
constexpr int64_t kPromptKeys = 48;
static_assert(kPromptKeys % kOutputStep == 0);

/// Queries of one sequence and key head, numbered row by row and in a row head by head.
struct PromptTile {
  CacheRows cache;
  const float* q;      // the first row's first head: f32 [rows, heads, head_dim]
  float* out;          // likewise
  int64_t row_stride;  // floats from a row to the next
  int64_t group;       // heads of a row that share the key head
  int64_t first;       // query
  int64_t count;       // at most a tile's lanes
  int64_t position;    // of the first row
  int64_t window;      // 0: all
  float scale;

  int64_t offset(int64_t query) const { return query / group * row_stride + query % group * cache.head_dim; }
  int64_t last_key(int64_t query) const { return position + query / group; }
  int64_t first_key(int64_t query) const {
    return window > 0 ? std::max<int64_t>(0, last_key(query) - window + 1) : 0;
  }
};

constexpr int64_t padded_head(int64_t head_dim) {
  return (head_dim + 3) / 4 * 4;
}
/// Floats a thread needs: queries by row and transposed, what they have mixed, keys, weights.
constexpr int64_t prompt_floats(int64_t head_dim) {
  return kMaxTileRows * 3 * padded_head(head_dim) + kPromptKeys * (kDepth + kMaxTileRows);
}

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

using I32 = hn::RebindToSigned<F32>;

/// What the lanes of a tile see and have summed so far.
struct TileLanes {
  HWY_ALIGN int32_t before[kMaxTileRows];  // the key before the first
  HWY_ALIGN int32_t end[kMaxTileRows];     // the key after the last
  HWY_ALIGN float max[kMaxTileRows];
  HWY_ALIGN float sum[kMaxTileRows];      // relative to exp(max), as is what is mixed
  HWY_ALIGN float rescale[kMaxTileRows];  // what a block's new maximum multiplies both with
};

/// The lanes at `at` that see this key.
HWY_INLINE hn::Mask<F32> sees(const TileLanes& lanes, int64_t at, int64_t key) {
  const I32 d;
  const auto position = hn::Set(d, static_cast<int32_t>(key));
  const auto begun = hn::Lt(hn::Load(d, lanes.before + at), position);
  const auto unfinished = hn::Lt(position, hn::Load(d, lanes.end + at));
  return hn::RebindMask(F32(), hn::And(begun, unfinished));
}

/// Scores to weights for the lanes at `at`: weights[k * width] of keys first … first + keys.
template <bool kIsMasked>
HWY_INLINE void softmax_block(TileLanes& lanes, int64_t at, int64_t first, int64_t keys, float scale,
                              int64_t width, float* weights) {
  const F32 d;
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto old_max = hn::Load(d, lanes.max + at);
  auto max = old_max;
  for (int64_t k = 0; k < keys; ++k) {
    auto score = hn::Mul(hn::LoadU(d, weights + k * width), hn::Set(d, scale));
    if constexpr (kIsMasked) score = hn::IfThenElse(sees(lanes, at, first + k), score, lowest);
    hn::StoreU(score, d, weights + k * width);
    max = hn::Max(max, score);
  }
  auto sum = hn::Zero(d);
  for (int64_t k = 0; k < keys; ++k) {
    auto weight = hn::Exp(d, hn::Sub(hn::LoadU(d, weights + k * width), max));
    if constexpr (kIsMasked) weight = hn::IfThenElseZero(sees(lanes, at, first + k), weight);
    hn::StoreU(weight, d, weights + k * width);
    sum = hn::Add(sum, weight);
  }
  // A lane that has seen no key yet has the maximum -inf, and -inf - -inf is not a number.
  const auto rescale =
      hn::IfThenElse(hn::Eq(max, old_max), hn::Set(d, 1.0F), hn::Exp(d, hn::Sub(old_max, max)));
  hn::Store(max, d, lanes.max + at);
  hn::Store(hn::MulAdd(hn::Load(d, lanes.sum + at), rescale, sum), d, lanes.sum + at);
  hn::Store(rescale, d, lanes.rescale + at);
}

/// kDims dimensions: mixed[n * width + lane] = mixed * rescale + sum over the keys of weight * value.
template <int kDims, int kVectors, bool kIsMasked>
HWY_INLINE void mix_values(const TileLanes& lanes, const float* const* values, int64_t dim, int64_t first,
                           int64_t keys, const float* weights, int64_t width, float* mixed) {
  const F32 d;
  const auto count = static_cast<int64_t>(hn::Lanes(d));
  VecF32 acc[kDims][kVectors];
  HWY_UNROLL(12)
  for (int n = 0; n < kDims; ++n) {
    HWY_UNROLL(2)
    for (int v = 0; v < kVectors; ++v)
      acc[n][v] =
          hn::Mul(hn::LoadU(d, mixed + n * width + v * count), hn::Load(d, lanes.rescale + v * count));
  }
  for (int64_t k = 0; k < keys; ++k) {
    const float* row = values[k] + dim;
    VecF32 weight[kVectors];
    hn::Mask<F32> seen[kVectors];
    HWY_UNROLL(2)
    for (int v = 0; v < kVectors; ++v) {
      weight[v] = hn::LoadU(d, weights + k * width + v * count);
      if constexpr (kIsMasked) seen[v] = sees(lanes, v * count, first + k);
    }
    HWY_UNROLL(12)
    for (int n = 0; n < kDims; ++n) {
      const auto value = hn::Set(d, row[n]);
      HWY_UNROLL(2)
      for (int v = 0; v < kVectors; ++v) {
        const auto sum = hn::MulAdd(value, weight[v], acc[n][v]);
        // Adding 0 times a value that a lane does not see could turn -0 into 0, or into not-a-number.
        if constexpr (kIsMasked) {
          acc[n][v] = hn::IfThenElse(seen[v], sum, acc[n][v]);
        } else {
          acc[n][v] = sum;
        }
      }
    }
  }
  HWY_UNROLL(12)
  for (int n = 0; n < kDims; ++n) {
    HWY_UNROLL(2)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(acc[n][v], d, mixed + n * width + v * count);
  }
}

template <int kVectors, bool kIsMasked>
HWY_INLINE void finish_block(TileLanes& lanes, const float* const* values, int64_t head_dim, int64_t first,
                             int64_t keys, float scale, float* weights, int64_t width, float* mixed) {
  const auto count = static_cast<int64_t>(hn::Lanes(F32()));
  for (int v = 0; v < kVectors; ++v)
    softmax_block<kIsMasked>(lanes, v * count, first, keys, scale, width, weights + v * count);
  int64_t dim = 0;
  const auto mix = [&]<int kDims>() HWY_ATTR {
    for (; dim + kDims <= head_dim; dim += kDims)
      mix_values<kDims, kVectors, kIsMasked>(lanes, values, dim, first, keys, weights, width,
                                             mixed + dim * width);
  };
  mix.template operator()<kOutputs>();
  mix.template operator()<4>();
  mix.template operator()<1>();
}

template <int kVectors>
HWY_INLINE void attend_lanes(const PromptTile& tile, TileLanes& lanes, const float* queries, float* keys,
                             float* weights, float* mixed) {
  const int64_t width = rows_of_tile();
  const int64_t head_dim = tile.cache.head_dim;
  const int64_t last_query = tile.first + tile.count - 1;
  const int64_t end = tile.last_key(last_query) + 1;
  const float* values[kPromptKeys];
  for (int64_t first = tile.first_key(tile.first); first < end;) {
    const int64_t last = std::min(end, (first / kPromptKeys + 1) * kPromptKeys);
    const int64_t count = last - first;
    const int64_t padded = padded_outputs(count);
    for (int64_t k = 0; k < count; ++k) values[k] = tile.cache.values + tile.cache.offset(first + k);
    for (int64_t d0 = 0; d0 < head_dim || d0 == 0; d0 += kDepth) {
      const int64_t depth = std::min(kDepth, head_dim - d0);
      for (int64_t k = 0; k < count; ++k)
        std::copy_n(tile.cache.keys + tile.cache.offset(first + k) + d0, depth, keys + k * kDepth);
      for (int64_t k = count; k < padded; ++k) std::fill_n(keys + k * kDepth, depth, 0.0F);
      for (int64_t k = 0; k < padded; k += kOutputs)
        multiply<kVectors>(queries + d0 * width, width, keys + k * kDepth, depth, d0 == 0,
                           weights + k * width);
    }
    const bool all_see_all = tile.first_key(last_query) <= first && tile.last_key(tile.first) >= last - 1;
    if (all_see_all) {
      finish_block<kVectors, false>(lanes, values, head_dim, first, count, tile.scale, weights, width, mixed);
    } else {
      finish_block<kVectors, true>(lanes, values, head_dim, first, count, tile.scale, weights, width, mixed);
    }
    first = last;
  }
}

/// scratch: prompt_floats(head_dim)
void attend_tile(const PromptTile& tile, float* scratch) {
  const F32 d;
  const auto vector = static_cast<int64_t>(hn::Lanes(d));
  const int64_t width = rows_of_tile();
  const int64_t head_dim = tile.cache.head_dim;
  const int64_t padded = padded_head(head_dim);
  float* rows = scratch;                           // [width, padded]
  float* queries = rows + kMaxTileRows * padded;   // [head_dim, width]
  float* mixed = queries + kMaxTileRows * padded;  // [padded, width]
  float* keys = mixed + kMaxTileRows * padded;     // [kPromptKeys, kDepth]
  float* weights = keys + kPromptKeys * kDepth;    // [kPromptKeys, width]

  TileLanes lanes;
  for (int64_t i = 0; i < width; ++i) {
    // Lanes beyond the last query see what it sees.
    const int64_t query = tile.first + std::min(i, tile.count - 1);
    lanes.before[i] = static_cast<int32_t>(tile.first_key(query)) - 1;
    lanes.end[i] = static_cast<int32_t>(tile.last_key(query)) + 1;
    lanes.max[i] = -std::numeric_limits<float>::infinity();
    lanes.sum[i] = 0;
    std::copy_n(tile.q + tile.offset(query), head_dim, rows + i * padded);
  }
  for (int64_t i = 0; i < width; i += 4) transpose4(rows + i * padded, padded, head_dim, queries + i, width);
  std::fill_n(mixed, padded * width, 0.0F);

  if (tile.count <= vector) {
    attend_lanes<1>(tile, lanes, queries, keys, weights, mixed);
  } else {
    attend_lanes<kTileVectors>(tile, lanes, queries, keys, weights, mixed);
  }

  for (int64_t at = 0; at < tile.count; at += vector) {
    const auto share = hn::Div(hn::Set(d, 1.0F), hn::Load(d, lanes.sum + at));
    for (int64_t n = 0; n < head_dim; ++n) {
      float* sums = mixed + n * width + at;
      hn::StoreU(hn::Mul(hn::LoadU(d, sums), share), d, sums);
    }
  }
  for (int64_t n = 0; n < padded; n += 4) transpose4(mixed + n * width, width, tile.count, rows + n, padded);
  for (int64_t i = 0; i < tile.count; ++i)
    std::copy_n(rows + i * padded, head_dim, tile.out + tile.offset(tile.first + i));
}

int64_t prompt_tile_lanes() {
  return rows_of_tile();
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(attend_tile);
HWY_EXPORT(prompt_tile_lanes);

size_t attention_prefill_workspace(const backend::Backend& backend, const backend::Launch& launch) {
  return static_cast<size_t>(backend.limits().threads * prompt_floats(launch.inputs[0].shape[2])) *
         sizeof(float);
}

void launch_attention_prefill(backend::Backend& backend, const backend::Launch& launch) {
  const Attention attention(launch);
  attention.clear_padding();
  auto* scratch = reinterpret_cast<float*>(launch.workspace.data());
  const int64_t lanes = HWY_DYNAMIC_DISPATCH(prompt_tile_lanes)();
  const auto rows_of = [&](int64_t s) {
    return int64_t{attention.seq_start[s + 1]} - attention.seq_start[s];
  };
  const auto tiles_of = [&](int64_t s) { return (rows_of(s) * attention.group + lanes - 1) / lanes; };
  int64_t tiles = 0;
  for (int64_t s = 0; s < attention.sequences; ++s) tiles += tiles_of(s);

  const auto attend = HWY_DYNAMIC_DISPATCH(attend_tile);
  pool_of(backend).parallel_for(
      tiles * attention.kv_heads, 1, [&](int thread, int64_t item, int64_t /*end*/) {
        // Tiles of a key head follow each other, which share its keys in the cache; late ones, which have the
        // most keys, come first.
        const int64_t kv_head = item / tiles;
        int64_t tile = tiles - 1 - item % tiles;
        int64_t s = 0;
        for (; tile >= tiles_of(s); ++s) tile -= tiles_of(s);
        const int64_t row = attention.seq_start[s];
        attend({.cache = attention.rows(s, kv_head),
                .q = attention.query(row, kv_head),
                .out = attention.output(row, kv_head),
                .row_stride = attention.heads * attention.head_dim,
                .group = attention.group,
                .first = tile * lanes,
                .count = std::min(lanes, rows_of(s) * attention.group - tile * lanes),
                .position = attention.position(s, row),
                .window = attention.op.window(),
                .scale = attention.op.scale()},
               scratch + thread * prompt_floats(attention.head_dim));
      });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
