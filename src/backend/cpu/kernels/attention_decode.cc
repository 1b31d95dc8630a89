// attention for generated tokens: online softmax over blocks of keys (Milakov and Gimelshein, 2018; Dao et
// al., 2022): scores of one block at a time, never the score matrix.
//
// A row's keys are split into pieces of kSplitKeys by the sequence's own length and joined in order (flash
// decoding), so that one long sequence keeps every thread busy.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/attention_decode.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include <cmath>
#include <limits>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/attention.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"

#ifndef INGOT_CPU_ATTENTION_TYPES
#define INGOT_CPU_ATTENTION_TYPES
namespace ingot::cpu {

constexpr int64_t kBlockKeys = 32;
constexpr int64_t kSplitKeys = 512;

/// A softmax in progress for one query head: sum and output are relative to exp(max).
struct Partial {
  float max;
  float sum;
};

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// scores[k] = query · rows[k] for kKeys keys, whose chains of multiply-adds hide each other's latency.
template <int kKeys>
HWY_INLINE void dot_keys(F32 d, const float* query, const float* const* rows, int64_t head_dim,
                         float* scores) {
  VecF32 sums[kKeys];
  HWY_UNROLL(8)
  for (int k = 0; k < kKeys; ++k) sums[k] = hn::Zero(d);
  for_vectors(
      d, head_dim,
      [&](int64_t i) HWY_ATTR {
        const auto q = hn::LoadU(d, query + i);
        HWY_UNROLL(8)
        for (int k = 0; k < kKeys; ++k) sums[k] = hn::MulAdd(q, hn::LoadU(d, rows[k] + i), sums[k]);
      },
      [&](int64_t i, size_t rest) HWY_ATTR {
        const auto q = load_f32_tail(d, query + i, rest);
        HWY_UNROLL(8)
        for (int k = 0; k < kKeys; ++k) sums[k] = hn::MulAdd(q, load_f32_tail(d, rows[k] + i, rest), sums[k]);
      });
  static_assert(kKeys == 1 || kKeys % 4 == 0);
  if constexpr (kKeys == 1) {
    float sum[4];
    sum_lanes4(d, sums[0], hn::Zero(d), hn::Zero(d), hn::Zero(d), sum);
    scores[0] = sum[0];
  } else {
    HWY_UNROLL(2)
    for (int k = 0; k < kKeys; k += 4)
      sum_lanes4(d, sums[k], sums[k + 1], sums[k + 2], sums[k + 3], scores + k);
  }
}

/// kVectors vectors of out at `i`: out * scale + sum over the keys of weight * value.
template <int kVectors>
HWY_INLINE void add_values_at(F32 d, const float* const* rows, const float* weights, int64_t keys,
                              VecF32 scale, float* out, int64_t i) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  VecF32 sums[kVectors];
  HWY_UNROLL(8)
  for (int v = 0; v < kVectors; ++v) sums[v] = hn::Mul(hn::LoadU(d, out + i + v * lanes), scale);
  for (int64_t k = 0; k < keys; ++k) {
    const auto weight = hn::Set(d, weights[k]);
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v)
      sums[v] = hn::MulAdd(weight, hn::LoadU(d, rows[k] + i + v * lanes), sums[v]);
  }
  HWY_UNROLL(8)
  for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[v], d, out + i + v * lanes);
}

/// out = out * scale + sum over the keys of weight * value.
HWY_INLINE void add_values(F32 d, const float* const* rows, const float* weights, int64_t keys, float scale,
                           float* out, int64_t head_dim) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto old_scale = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + 8 * lanes <= head_dim; i += 8 * lanes)
    add_values_at<8>(d, rows, weights, keys, old_scale, out, i);
  for (; i + 4 * lanes <= head_dim; i += 4 * lanes)
    add_values_at<4>(d, rows, weights, keys, old_scale, out, i);
  for (; i + lanes <= head_dim; i += lanes) add_values_at<1>(d, rows, weights, keys, old_scale, out, i);
  if (i == head_dim) return;
  const auto rest = static_cast<size_t>(head_dim - i);
  auto sum = hn::Mul(load_f32_tail(d, out + i, rest), old_scale);
  for (int64_t k = 0; k < keys; ++k) {
    sum = hn::MulAdd(hn::Set(d, weights[k]), load_f32_tail(d, rows[k] + i, rest), sum);
  }
  store_tail(d, sum, out + i, rest);
}

/// Where the keys and values of positions first … first + count - 1 lie.
HWY_INLINE void find_rows(const CacheRows& cache, int64_t first, int64_t count, const float** key_rows,
                          const float** value_rows) {
  int64_t in_page = first % cache.page_tokens;
  int64_t offset = cache.offset(first);
  for (int64_t k = 0; k < count; ++k) {
    if (in_page == cache.page_tokens) {
      in_page = 0;
      offset = cache.offset(first + k);
    }
    key_rows[k] = cache.keys + offset;
    value_rows[k] = cache.values + offset;
    offset += cache.head_dim;
    ++in_page;
  }
}

/// Asks for the rows of a block that comes next; those beyond its first page are found when they are read.
HWY_INLINE void prefetch_rows(const CacheRows& cache, int64_t first, int64_t count) {
  const int64_t in_page = std::min(count, cache.page_tokens - first % cache.page_tokens);
  const int64_t offset = cache.offset(first);
  const int64_t bytes = in_page * cache.head_dim * static_cast<int64_t>(sizeof(float));
  for (const float* rows : {cache.keys + offset, cache.values + offset}) {
    for (int64_t at = 0; at < bytes; at += 64) hwy::Prefetch(reinterpret_cast<const char*>(rows) + at);
  }
}

/// Keys begin … end for `heads` query heads of one row that share a key head. query, out: [heads, head_dim].
void attend(const CacheRows& cache, const float* query, int64_t heads, float scale, int64_t begin,
            int64_t end, Partial* partials, float* out) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t head_dim = cache.head_dim;
  for (int64_t h = 0; h < heads; ++h) partials[h] = {-std::numeric_limits<float>::infinity(), 0.0F};
  for (int64_t i = 0; i < heads * head_dim; ++i) out[i] = 0;
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  const float* key_rows[kBlockKeys];
  const float* value_rows[kBlockKeys];
  HWY_ALIGN float scores[kBlockKeys + HWY_MAX_BYTES / 4];
  // Blocks end at multiples of kBlockKeys from the sequence's start: a position's block is its own.
  for (int64_t first = begin; first < end;) {
    const int64_t last = std::min(end, (first / kBlockKeys + 1) * kBlockKeys);
    const int64_t keys = last - first;
    find_rows(cache, first, keys, key_rows, value_rows);
    if (last < end) prefetch_rows(cache, last, std::min(end - last, kBlockKeys));
    for (int64_t h = 0; h < heads; ++h) {
      Partial& partial = partials[h];
      float max = partial.max;
      int64_t k = 0;
      for (; k + 8 <= keys; k += 8) dot_keys<8>(d, query + h * head_dim, key_rows + k, head_dim, scores + k);
      for (; k < keys; ++k) dot_keys<1>(d, query + h * head_dim, key_rows + k, head_dim, scores + k);
      for (; k % lanes != 0; ++k) scores[k] = 0;
      auto highest = hn::Set(d, max);
      for (k = 0; k < keys; k += lanes) {
        // What pads the last vector is masked after the scale, whose sign is the caller's.
        const auto is_key = hn::FirstN(d, static_cast<size_t>(std::min(lanes, keys - k)));
        const auto scaled =
            hn::IfThenElse(is_key, hn::Mul(hn::LoadU(d, scores + k), hn::Set(d, scale)), lowest);
        hn::StoreU(scaled, d, scores + k);
        highest = hn::Max(highest, scaled);
      }
      max = max_lanes(d, highest);
      auto sums = hn::Zero(d);
      for (k = 0; k < keys; k += lanes) {
        const auto weights = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + k), hn::Set(d, max)));
        hn::StoreU(weights, d, scores + k);
        sums = hn::Add(sums, weights);
      }
      const float rescale = partial.max == max ? 1.0F : std::exp(partial.max - max);
      partial = {max, partial.sum * rescale + sum_lanes(d, sums)};
      add_values(d, value_rows, scores, keys, rescale, out + h * head_dim, head_dim);
    }
    first = last;
  }
}

/// out = sum over pieces of exp(max - highest) * part, divided by the sums' total. parts: [pieces, head_dim].
void join(const Partial* partials, const float* parts, int64_t pieces, int64_t piece_stride,
          int64_t part_stride, float* out, int64_t head_dim) {
  const F32 d;
  float highest = -std::numeric_limits<float>::infinity();
  for (int64_t p = 0; p < pieces; ++p) highest = std::max(highest, partials[p * piece_stride].max);
  float total = 0;
  for (int64_t p = 0; p < pieces; ++p) {
    const Partial& partial = partials[p * piece_stride];
    total += std::exp(partial.max - highest) * partial.sum;
  }
  for (int64_t p = 0; p < pieces; ++p) {
    const float* part = parts + p * part_stride;
    const auto weight = hn::Set(d, std::exp(partials[p * piece_stride].max - highest) / total);
    const auto add = [&](VecF32 sum, VecF32 value) HWY_ATTR {
      return p == 0 ? hn::Mul(weight, value) : hn::MulAdd(weight, value, sum);
    };
    for_vectors(
        d, head_dim,
        [&](int64_t i) HWY_ATTR {
          hn::StoreU(add(p == 0 ? hn::Zero(d) : hn::LoadU(d, out + i), hn::LoadU(d, part + i)), d, out + i);
        },
        [&](int64_t i, size_t n) HWY_ATTR {
          const auto sum = p == 0 ? hn::Zero(d) : load_f32_tail(d, out + i, n);
          store_tail(d, add(sum, load_f32_tail(d, part + i, n)), out + i, n);
        });
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(attend);
HWY_EXPORT(join);

namespace {

using backend::Backend;
using backend::Launch;

/// Pieces that a context of `keys` positions is split into.
int64_t pieces_of(int64_t keys) {
  return (keys + kSplitKeys - 1) / kSplitKeys;
}

}  // namespace

size_t attention_decode_workspace(const Backend&, const Launch& launch) {
  // For every row, piece and head: a Partial and an output.
  const int64_t context = launch.inputs[5].shape[1] * launch.inputs[1].shape[2];
  const int64_t items = launch.inputs[0].shape[0] * pieces_of(context) * launch.inputs[0].shape[1];
  return static_cast<size_t>(items) *
         (sizeof(Partial) + static_cast<size_t>(launch.inputs[0].shape[2]) * sizeof(float));
}

void launch_attention_decode(Backend& backend, const Launch& launch) {
  const Attention attention(launch);
  attention.clear_padding();
  const int64_t heads = attention.heads;
  const int64_t head_dim = attention.head_dim;
  const int64_t rows = attention.seq_start[attention.sequences];
  const int64_t most_pieces = pieces_of(attention.block_table.shape[1] * attention.keys.shape[2]);
  // [row, piece, head] of partials, then [row, piece, head, head_dim] of outputs.
  auto* partials = reinterpret_cast<Partial*>(launch.workspace.data());
  auto* parts = reinterpret_cast<float*>(partials + rows * most_pieces * heads);
  ThreadPool& pool = pool_of(backend);
  const auto run_pieces = [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t piece = item % most_pieces;
      const int64_t kv_head = item / most_pieces % attention.kv_heads;
      const int64_t row = item / most_pieces / attention.kv_heads;
      const int64_t sequence = attention.sequence_of(row);
      const int64_t position = attention.position(sequence, row);
      const int64_t first = std::max(attention.first_key(position), piece * kSplitKeys);
      const int64_t last = std::min(position + 1, (piece + 1) * kSplitKeys);
      const int64_t at = (row * most_pieces + piece) * heads + kv_head * attention.group;
      if (piece >= pieces_of(position + 1)) continue;
      HWY_DYNAMIC_DISPATCH(attend)
      (attention.rows(sequence, kv_head), attention.query(row, kv_head), attention.group,
       attention.op.scale(), first, last, partials + at, parts + at * head_dim);
    }
  };
  pool.parallel_for(rows * attention.kv_heads * most_pieces, 1, run_pieces,
                    [&](int thread) { prefetch_next_weights(backend, thread); });
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t position = attention.position(attention.sequence_of(row), row);
    // Pieces that lie before the sliding window hold nothing.
    const int64_t first_piece = attention.first_key(position) / kSplitKeys;
    const int64_t pieces = pieces_of(position + 1) - first_piece;
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t at = (row * most_pieces + first_piece) * heads + h;
      HWY_DYNAMIC_DISPATCH(join)
      (partials + at, parts + at * head_dim, pieces, heads, heads * head_dim,
       attention.out + (row * heads + h) * head_dim, head_dim);
    }
  }
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
