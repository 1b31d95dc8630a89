// linear for prompt tokens (many rows): bound by multiply-adds.
//
// Vectors run along the rows: the rows are transposed once, into tiles of kTileVectors x Lanes rows, and each
// weight is decoded once per pass over a tile's rows and broadcast. Weights keep their own order, so decoding
// them costs one load and one store a vector (transposing them instead cost as much as the products did).
// Blocking after Goto and van de Geijn (2008). Every output's sum runs over the inputs in order, in a lane of
// its own: rows do not see each other.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/linear_prefill.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <atomic>
#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"
#include "graph/ops/linear.h"

#ifndef INGOT_CPU_LINEAR_PREFILL_SIZES
#define INGOT_CPU_LINEAR_PREFILL_SIZES
namespace ingot::cpu {

constexpr int64_t kDepth =
    192;  // inputs of a pass: a tile of 32 rows takes 24 KiB, so that weights and sums fit beside it
constexpr int64_t kBlockOutputs = 96;  // outputs that a thread takes at a time at most
constexpr int64_t kOutputStep = 12;    // blocks are multiples of it, as of every target's kOutputs
constexpr int64_t kMaxTileRows = 32;   // of every target: two 64-byte vectors

struct PrefillLinear {
  const graph::Tensor& x;       // f32 [rows, in]
  const graph::Tensor& weight;  // [out, in] or [in, out]
  const graph::Tensor* bias;    // [out] or null
  const graph::Tensor& output;  // f32 [rows, out]
  bool out_in;
  float* tiles;  // f32 [tiles, in, tile rows]: x transposed, rows beyond the last zero
};

/// Rows in whole tiles.
constexpr int64_t padded_rows(int64_t rows) {
  return (rows + kMaxTileRows - 1) / kMaxTileRows * kMaxTileRows;
}
/// Floats a thread needs: a block's decoded weights and its outputs before they are transposed back.
constexpr int64_t thread_floats(int64_t rows) {
  return kBlockOutputs * (kDepth + padded_rows(rows));
}

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Outputs of a register block: with kTileVectors vectors each they leave room for the rows and a broadcast.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_NEON
constexpr int kOutputs = 12;
#else
constexpr int kOutputs = 6;
#endif
static_assert(kOutputStep % kOutputs == 0 && kBlockOutputs % kOutputStep == 0);
constexpr int kTileVectors =
    HWY_TARGET == HWY_SCALAR ? 4 : 2;  // rows of a tile, in vectors: a multiple of 4 rows
static_assert(kTileVectors * HWY_MAX_BYTES / 4 <= kMaxTileRows);

int64_t tile_rows() {
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

/// Tile `tile` of the transposed rows, for inputs begin … end.
void pack_rows(const PrefillLinear& linear, int64_t tile, int64_t begin, int64_t end) {
  const int64_t rows = linear.x.shape[0];
  const int64_t in = linear.x.shape[1];
  const int64_t width = tile_rows();
  float* to = linear.tiles + tile * in * width;
  for (int64_t j = 0; j < width; j += 4) {
    const int64_t row = tile * width + j;
    const float* from = linear.x.f32() + row * in;
    if (row + 4 <= rows) {
      transpose4(from + begin, in, end - begin, to + begin * width + j, width);
      continue;
    }
    for (int64_t k = begin; k < end; ++k) {
      for (int64_t i = 0; i < 4; ++i) to[k * width + j + i] = row + i < rows ? from[i * in + k] : 0.0F;
    }
  }
}

/// decoded[n * kDepth + k] = weight of output first + n, input k0 + k; outputs beyond `count` are zero.
void decode_weights(const PrefillLinear& linear, int64_t first, int64_t count, int64_t k0, int64_t depth,
                    float* decoded) {
  const F32 d;
  const int64_t in = linear.x.shape[1];
  const int64_t out = linear.output.shape[1];
  const int64_t padded = (count + kOutputs - 1) / kOutputs * kOutputs;
  with_weight(linear.weight, [&](const auto* weight) HWY_ATTR {
    if (linear.out_in) {
      for (int64_t n = 0; n < count; ++n) {
        const auto* row = weight + (first + n) * in + k0;
        float* to = decoded + n * kDepth;
        for_vectors(
            d, depth, [&](int64_t k) HWY_ATTR { hn::StoreU(load_f32(d, row + k), d, to + k); },
            [&](int64_t k, size_t rest)
                HWY_ATTR { store_tail(d, load_f32_tail(d, row + k, rest), to + k, rest); });
      }
    } else {
      HWY_ALIGN float columns[4 * kBlockOutputs];  // 4 inputs of all outputs
      for (int64_t k = 0; k < depth; k += 4) {
        const int64_t some = std::min<int64_t>(4, depth - k);
        for (int64_t i = 0; i < some; ++i) {
          const auto* row = weight + (k0 + k + i) * out + first;
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
    }
  });
  for (int64_t n = count; n < padded; ++n) std::fill_n(decoded + n * kDepth, depth, 0.0F);
}

/// kOutputs x kVectors vectors of rows: sums[n * sums_stride + row] += sum over k of weights[n, k] rows[k,
/// row].
template <int kVectors>
HWY_INLINE void multiply(const float* rows, int64_t width, const float* weights, int64_t depth, bool first,
                         float* sums, int64_t sums_stride) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  VecF32 acc[kOutputs][kVectors];
  HWY_UNROLL(12)
  for (int n = 0; n < kOutputs; ++n) {
    HWY_UNROLL(2)
    for (int v = 0; v < kVectors; ++v)
      acc[n][v] = first ? hn::Zero(d) : hn::LoadU(d, sums + n * sums_stride + v * lanes);
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
    for (int v = 0; v < kVectors; ++v) hn::StoreU(acc[n][v], d, sums + n * sums_stride + v * lanes);
  }
}

/// Outputs first … first + count, at most kBlockOutputs, of all rows. scratch: thread_floats(rows).
void prefill_block(const PrefillLinear& linear, int64_t first, int64_t count, float* scratch) {
  const int64_t rows = linear.x.shape[0];
  const int64_t in = linear.x.shape[1];
  const int64_t out = linear.output.shape[1];
  const int64_t width = tile_rows();
  const int64_t lanes = width / kTileVectors;
  const int64_t stride = padded_rows(rows);
  float* decoded = scratch;                        // [kBlockOutputs, kDepth]
  float* sums = scratch + kBlockOutputs * kDepth;  // [kBlockOutputs, stride]
  for (int64_t k0 = 0; k0 < in || k0 == 0; k0 += kDepth) {
    const int64_t depth = std::min(kDepth, in - k0);
    decode_weights(linear, first, count, k0, depth, decoded);
    for (int64_t row = 0; row < rows; row += width) {
      const float* tile = linear.tiles + (row * in) + k0 * width;
      const bool half = rows - row <= lanes;  // the last tile's second vector may be all padding
      for (int64_t n = 0; n < count; n += kOutputs) {
        const float* weights = decoded + n * kDepth;
        float* to = sums + n * stride + row;
        if (half) {
          multiply<1>(tile, width, weights, depth, k0 == 0, to, stride);
        } else {
          multiply<kTileVectors>(tile, width, weights, depth, k0 == 0, to, stride);
        }
      }
    }
  }
  if (linear.bias != nullptr) {
    const F32 d;
    for (int64_t n = 0; n < count; ++n) {
      const auto bias = hn::Set(d, linear.bias->at(first + n));
      float* sum = sums + n * stride;
      for (int64_t row = 0; row < rows; row += lanes)
        hn::StoreU(hn::Add(hn::LoadU(d, sum + row), bias), d, sum + row);
    }
  }
  float* to = linear.output.as<float>() + first;
  int64_t n = 0;
  for (; n + 4 <= count; n += 4) transpose4(sums + n * stride, stride, rows, to + n, out);
  for (; n < count; ++n) {
    for (int64_t row = 0; row < rows; ++row) to[row * out + n] = sums[n * stride + row];
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(tile_rows);
HWY_EXPORT(pack_rows);
HWY_EXPORT(prefill_block);

size_t linear_prefill_workspace(const backend::Backend& backend, const backend::Launch& launch) {
  const int64_t rows = launch.inputs[0].shape[0];
  const int64_t tiles = padded_rows(rows) * launch.inputs[0].shape[1];
  return static_cast<size_t>(tiles + backend.limits().threads * thread_floats(rows)) * sizeof(float);
}

void launch_linear_prefill(backend::Backend& backend, const backend::Launch& launch) {
  const int64_t rows = launch.inputs[0].shape[0];
  const int64_t in = launch.inputs[0].shape[1];
  const int64_t outputs = launch.output.shape[1];
  if (rows == 0 || outputs == 0) return;
  auto* workspace = reinterpret_cast<float*>(launch.workspace.data());
  const PrefillLinear linear{
      .x = launch.inputs[0],
      .weight = launch.inputs[1],
      .bias = launch.inputs.size() == 3 ? &launch.inputs[2] : nullptr,
      .output = launch.output,
      .out_in = static_cast<const graph::LinearOp&>(*launch.op).order() == graph::WeightOrder::out_in,
      .tiles = workspace};
  float* scratch = workspace + padded_rows(rows) * in;
  ThreadPool& pool = pool_of(backend);

  // Transposing the rows: chunks of inputs of every tile.
  const int64_t width = HWY_DYNAMIC_DISPATCH(tile_rows)();
  const int64_t tiles = (rows + width - 1) / width;
  const int64_t parts = (in + kDepth - 1) / kDepth;
  const auto pack = HWY_DYNAMIC_DISPATCH(pack_rows);
  pool.parallel_for(tiles * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t k = i % parts * kDepth;
      pack(linear, i / parts, k, std::min(in, k + kDepth));
    }
  });

  // Smaller blocks for narrow outputs, so that every thread gets a few.
  const int64_t share = outputs / (4 * pool.threads()) / kOutputStep * kOutputStep;
  const int64_t block = std::clamp(share, kOutputStep, kBlockOutputs);
  const auto run_block = HWY_DYNAMIC_DISPATCH(prefill_block);
  std::atomic<int64_t> next{0};
  pool.run([&](int thread) {
    float* own = scratch + thread * thread_floats(rows);
    for (int64_t first = next.fetch_add(block); first < outputs; first = next.fetch_add(block)) {
      run_block(linear, first, std::min(block, outputs - first), own);
    }
  });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
