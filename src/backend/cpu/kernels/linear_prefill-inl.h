// The loops of linear_prefill.h: packing rows, decoding weights, multiplying, finishing a tile.
//
// Vectors run along the rows: the rows are transposed once, into tiles of kTileVectors x Lanes rows, and each
// weight is decoded once per pass over a tile's rows and broadcast. Weights keep their own order, so decoding
// them costs one load and one store a vector (transposing them instead cost as much as the products did).
// Blocking after Goto and van de Geijn (2008). Every output's sum runs over the inputs in order, in a lane of
// its own: rows do not see each other.
//
// Included once per Highway target, after <hwy/highway.h> and its math-inl.h.
#ifndef INGOT_CPU_LINEAR_PREFILL_SIZES
#define INGOT_CPU_LINEAR_PREFILL_SIZES

#include <cstdint>

namespace ingot::cpu {

// Inputs of a pass: a tile of 32 rows takes 24 KiB, so that weights and sums fit beside it.
constexpr int64_t kDepth = 192;
constexpr int64_t kBlockOutputs = 96;  // outputs that a thread takes at a time at most
constexpr int64_t kOutputStep = 12;    // blocks are multiples of it, as of every target's kOutputs
constexpr int64_t kMaxTileRows = 32;   // of every target: two 64-byte vectors

/// Rows in whole tiles.
constexpr int64_t padded_rows(int64_t rows) {
  return (rows + kMaxTileRows - 1) / kMaxTileRows * kMaxTileRows;
}
/// Outputs in whole register blocks.
constexpr int64_t padded_outputs(int64_t outputs) {
  return (outputs + kOutputStep - 1) / kOutputStep * kOutputStep;
}
/// Floats a thread needs: a block's decoded weights and its sums.
constexpr int64_t thread_floats(int64_t rows) {
  return kBlockOutputs * (kDepth + padded_rows(rows));
}

}  // namespace ingot::cpu
#endif  // INGOT_CPU_LINEAR_PREFILL_SIZES

#if defined(INGOT_CPU_LINEAR_PREFILL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_LINEAR_PREFILL_INL_H_
#undef INGOT_CPU_LINEAR_PREFILL_INL_H_
#else
#define INGOT_CPU_LINEAR_PREFILL_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "backend/cpu/kernels/activations-inl.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/linear_prefill.h"
#include "backend/cpu/kernels/norm_rows-inl.h"
#include "backend/cpu/kernels/simd.h"
#include "backend/cpu/kernels/weight_piece.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Outputs of a register block: with kTileVectors vectors each they leave room for the rows and a broadcast.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_NEON
constexpr int kOutputs = 12;
#else
constexpr int kOutputs = 6;
#endif
static_assert(kOutputStep % kOutputs == 0 && kBlockOutputs % (2 * kOutputStep) == 0);
constexpr int kTileVectors =
    HWY_TARGET == HWY_SCALAR ? 4 : 2;  // rows of a tile, in vectors: a multiple of 4 rows
static_assert(kTileVectors * HWY_MAX_BYTES / 4 <= kMaxTileRows);

HWY_INLINE int64_t rows_of_tile() {
  return static_cast<int64_t>(kTileVectors * hn::Lanes(F32()));
}

/// to[i * to_stride + j] = from[j * from_stride + i] for i < count, j < 4.
HWY_INLINE void transpose4(const float* from, int64_t from_stride, int64_t count, float* to,
                           int64_t to_stride) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  HWY_ALIGN float mixed[4 * HWY_MAX_BYTES / 4];
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreInterleaved4(hn::LoadU(d, from + i), hn::LoadU(d, from + from_stride + i),
                          hn::LoadU(d, from + 2 * from_stride + i), hn::LoadU(d, from + 3 * from_stride + i),
                          d, mixed);
    for (int64_t k = 0; k < lanes; ++k)
      std::memcpy(to + (i + k) * to_stride, mixed + 4 * k, 4 * sizeof(float));
  }
  for (; i < count; ++i) {
    for (int64_t j = 0; j < 4; ++j) to[i * to_stride + j] = from[j * from_stride + i];
  }
}

/// Inputs begin … begin + count of a row, normalised.
HWY_INLINE void norm_part(const PrefillJob& job, RowScale scale, const float* row, int64_t begin,
                          int64_t count, float* to) {
  with_weight(job.norm_parameters[0], [&](const auto* weight) HWY_ATTR {
    if (job.norm.kind == graph::NormPrologue::Kind::rms) {
      rms_norm_apply(row + begin, scale, weight + begin, to, count);
      return;
    }
    with_weight(job.norm_parameters[1], [&](const auto* bias) HWY_ATTR {
      layer_norm_apply(row + begin, scale, weight + begin, bias + begin, to, count);
    });
  });
}

/// Tile `tile` of the transposed rows, for inputs begin … end, at most kDepth. Rows beyond the last are zero.
HWY_INLINE void pack_tile(const PrefillJob& job, const RowScale* scales, int64_t tile, int64_t begin,
                          int64_t end, float* tiles) {
  const int64_t width = rows_of_tile();
  const int64_t depth = end - begin;
  HWY_ALIGN float rows[4 * kDepth];
  for (int64_t j = 0; j < width; j += 4) {
    const int64_t row = tile * width + j;
    const float* from = job.x + row * job.in;
    float* to = tiles + (tile * job.in + begin) * width + j;
    const bool is_normed = job.norm.kind != graph::NormPrologue::Kind::none;
    if (!is_normed && row + 4 <= job.rows) {
      transpose4(from + begin, job.in, depth, to, width);
      continue;
    }
    for (int64_t i = 0; i < 4; ++i) {
      float* part = rows + i * kDepth;
      if (row + i >= job.rows) {
        std::fill_n(part, depth, 0.0F);
      } else if (is_normed) {
        norm_part(job, scales[row + i], from + i * job.in, begin, depth, part);
      } else {
        std::copy_n(from + i * job.in + begin, depth, part);
      }
    }
    transpose4(rows, kDepth, depth, to, width);
  }
}

/// decoded[n * kDepth + k] = weight of the part's output first + n, input k0 + k; outputs beyond `count` are
/// zero, up to a whole register block.
HWY_INLINE void decode_weights(const PrefillPart& part, int64_t in, int64_t first, int64_t count, int64_t k0,
                               int64_t depth, float* decoded) {
  const F32 d;
  const int64_t padded = padded_outputs(count);
  const int64_t column = part.first_output + first;
  with_weight(*part.weight, [&](const auto* weight) HWY_ATTR {
    if (part.out_in) {
      for (int64_t n = 0; n < count; ++n) {
        const auto* row = weight + (column + n) * in + k0;
        float* to = decoded + n * kDepth;
        for_vectors(
            d, depth, [&](int64_t k) HWY_ATTR { hn::StoreU(load_f32(d, row + k), d, to + k); },
            [&](int64_t k, size_t rest)
                HWY_ATTR { store_tail(d, load_f32_tail(d, row + k, rest), to + k, rest); });
      }
      return;
    }
    HWY_ALIGN float columns[4 * kBlockOutputs];  // 4 inputs of all outputs
    for (int64_t k = 0; k < depth; k += 4) {
      const int64_t some = std::min<int64_t>(4, depth - k);
      for (int64_t i = 0; i < some; ++i) {
        const auto* row = weight + (k0 + k + i) * part.weight_outputs + column;
        float* to = columns + i * kBlockOutputs;
        for_vectors(
            d, count, [&](int64_t n) HWY_ATTR { hn::StoreU(load_f32(d, row + n), d, to + n); },
            [&](int64_t n, size_t rest)
                HWY_ATTR { store_tail(d, load_f32_tail(d, row + n, rest), to + n, rest); });
      }
      if (some == 4) {
        transpose4(columns, kBlockOutputs, count, decoded + k, kDepth);
        continue;
      }
      for (int64_t n = 0; n < count; ++n) {
        for (int64_t i = 0; i < some; ++i) decoded[n * kDepth + k + i] = columns[i * kBlockOutputs + n];
      }
    }
  });
  for (int64_t n = count; n < padded; ++n) std::fill_n(decoded + n * kDepth, depth, 0.0F);
}

/// kOutputs x kVectors vectors of a tile's rows: sums[n * width + row] += sum over k of weights[n, k] rows[k,
/// row].
template <int kVectors>
HWY_INLINE void multiply(const float* rows, int64_t width, const float* weights, int64_t depth, bool first,
                         float* sums) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  VecF32 acc[kOutputs][kVectors];
  HWY_UNROLL(12)
  for (int n = 0; n < kOutputs; ++n) {
    HWY_UNROLL(2)
    for (int v = 0; v < kVectors; ++v)
      acc[n][v] = first ? hn::Zero(d) : hn::LoadU(d, sums + n * width + v * lanes);
  }
  for (int64_t k = 0; k < depth; ++k) {
    VecF32 x[kVectors];
    HWY_UNROLL(2)
    for (int v = 0; v < kVectors; ++v) x[v] = hn::LoadU(d, rows + k * width + v * lanes);
    HWY_UNROLL(12)
    for (int n = 0; n < kOutputs; ++n) {
      const auto w = hn::Set(d, weights[n * kDepth + k]);
      HWY_UNROLL(2)
      for (int v = 0; v < kVectors; ++v) acc[n][v] = hn::MulAdd(w, x[v], acc[n][v]);
    }
  }
  HWY_UNROLL(12)
  for (int n = 0; n < kOutputs; ++n) {
    HWY_UNROLL(2)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(acc[n][v], d, sums + n * width + v * lanes);
  }
}

HWY_INLINE void activate(graph::Activation activation, float* values, int64_t count) {
  switch (activation) {
    case graph::Activation::none:
      break;
    case graph::Activation::gelu_erf:
      unary(values, values, count, GeluErf());
      break;
    case graph::Activation::gelu_tanh:
      unary(values, values, count, GeluTanh());
      break;
    case graph::Activation::silu:
      unary(values, values, count, Silu());
      break;
  }
}

/// A block's sums of one tile become outputs: transposed back to rows, then the epilogues in the order of the
/// single ops, each over a row of the block in the first-level cache.
HWY_INLINE void finish_tile(const PrefillJob& job, const PrefillPart* segments, int64_t first, int64_t count,
                            const float* sums, const float* biases, int64_t row0) {
  const int64_t width = rows_of_tile();
  const int64_t rows = std::min(width, job.rows - row0);
  const int64_t padded = padded_outputs(count);
  const int64_t all = padded * job.segments();
  const int64_t outputs = segments[0].outputs;
  float* out = segments[0].out;
  HWY_ALIGN float tile[kMaxTileRows * kBlockOutputs];
  for (int64_t n = 0; n < all; n += 4) transpose4(sums + n * width, width, rows, tile + n, kBlockOutputs);
  for (int64_t r = 0; r < rows; ++r) {
    float* values = tile + r * kBlockOutputs;
    float* up = values + padded;  // of gated parts
    const int64_t at = (row0 + r) * outputs + first;
    // No bias is not one of zeros: -0 + 0 is 0.
    if (segments[0].bias != nullptr) binary(values, biases, values, count, Add());
    if (job.gated && segments[1].bias != nullptr) binary(up, biases + padded, up, count, Add());
    if (job.add != nullptr) {
      const int64_t b = job.add->shape.rank() == 1 ? first : at;
      with_weight(*job.add, [&](const auto* add) HWY_ATTR { binary(values, add + b, values, count, Add()); });
    }
    activate(job.activation, values, count);
    if (job.gated) binary(values, up, values, count, Mul());
    if (job.residual != nullptr) {
      binary(job.residual + at, values, out + at, count, Add());
    } else {
      std::memcpy(out + at, values, static_cast<size_t>(count) * sizeof(float));
    }
  }
}

/// Outputs first … first + count of a part (of gated ones, of both), all rows. Blocks have at most
/// kBlockOutputs outputs in all. scratch: thread_floats(rows).
/// next_first: the output with which the thread's next call will probably begin.
HWY_INLINE void multiply_block(const PrefillJob& job, const float* tiles, const PrefillPart& part,
                               int64_t first, int64_t count, int64_t next_first, float* scratch) {
  const int64_t width = rows_of_tile();
  const int64_t lanes = width / kTileVectors;
  const int64_t padded = padded_outputs(count);
  const int64_t all = padded * job.segments();
  float* decoded = scratch;                        // [kBlockOutputs, kDepth]
  float* sums = scratch + kBlockOutputs * kDepth;  // [tiles, kBlockOutputs, width]
  HWY_ALIGN float bias_block[kBlockOutputs];
  const PrefillPart* segments = &part;  // gated parts follow each other
  for (int64_t s = 0; s < job.segments(); ++s) {
    const graph::Tensor* bias = segments[s].bias;
    if (bias == nullptr) continue;
    for (int64_t n = 0; n < count; ++n)
      bias_block[s * padded + n] = bias->at(segments[s].first_output + first + n);
  }
  const int64_t steps = (job.rows + width - 1) / width * (all / kOutputs);
  for (int64_t k0 = 0; k0 < job.in || k0 == 0; k0 += kDepth) {
    const int64_t depth = std::min(kDepth, job.in - k0);
    for (int64_t s = 0; s < job.segments(); ++s)
      decode_weights(segments[s], job.in, first, count, k0, depth, decoded + s * padded * kDepth);
    WeightPiece pieces[2];
    for (int64_t s = 0; s < job.segments(); ++s) {
      const int64_t after = std::clamp<int64_t>(segments[s].outputs - next_first, 0, count);
      pieces[s] = k0 + depth < job.in ? WeightPiece{&segments[s], first, count, k0 + depth, kDepth}
                                      : WeightPiece{&segments[s], next_first, after, 0, kDepth};
    }
    PiecesAhead ahead(pieces, job.segments(), job.in, steps);
    for (int64_t row = 0; row < job.rows; row += width) {
      const float* tile = tiles + row * job.in + k0 * width;
      float* tile_sums = sums + row * kBlockOutputs;
      const bool half = job.rows - row <= lanes;  // the last tile's second vector may be all padding
      for (int64_t n = 0; n < all; n += kOutputs) {
        ahead.step();
        if (half) {
          multiply<1>(tile, width, decoded + n * kDepth, depth, k0 == 0, tile_sums + n * width);
        } else {
          multiply<kTileVectors>(tile, width, decoded + n * kDepth, depth, k0 == 0, tile_sums + n * width);
        }
      }
      if (k0 + depth >= job.in) finish_tile(job, segments, first, count, tile_sums, bias_block, row);
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_LINEAR_PREFILL_INL_H_
