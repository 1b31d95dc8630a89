// linear for generated tokens (few rows): bound by reading the weights, which are decoded in registers.
//
// Each output is one dot product (out_in) or one running sum over the inputs (in_out). Its order of additions
// is fixed by the input width alone, so that neither other rows, nor the blocking below, nor threads show in
// its bits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/linear_decode.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/cache_control.h>
// clang-format on

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"
#include "graph/ops/linear.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Partial sums of a dot product: enough to hide a multiply-add's latency while the weights come in as one
// sequential stream, which the hardware prefetchers follow best (measured on 2 Zen 5 cores: one stream 47
// GB/s, four rows at a time 43 GB/s, of 48 GB/s).
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_NEON
constexpr int kChains = 8;
#else
constexpr int kChains = 4;  // 16 registers
#endif
constexpr int kRowBlock = 2;  // rows that share a decoded weight: their sums fill the registers

// How far ahead weights are asked for, in bytes: a page, so that its translation is there too.
constexpr int64_t kPrefetchBytes = 4096;

/// kRows dot products with one weight row: out[r * out_stride] = sum over k of x[r, k] weight[k] + bias.
template <int kRows, typename W>
HWY_INLINE void dot_rows(const float* x, int64_t in, const W* weight, float bias, float* out,
                         int64_t out_stride) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  VecF32 sums[kRows][kChains];
  HWY_UNROLL(2)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int c = 0; c < kChains; ++c) sums[r][c] = hn::Zero(d);
  }
  int64_t k = 0;
  for (; k + kChains * lanes <= in; k += kChains * lanes) {
    HWY_UNROLL(8)
    for (int c = 0; c < kChains; ++c) {
      const int64_t at = k + c * lanes;
      const auto w = load_f32(d, weight + at);
      // One request a cache line; the condition is known when this is compiled.
      if (c * lanes * static_cast<int64_t>(sizeof(W)) % 64 == 0) {
        hwy::Prefetch(reinterpret_cast<const char*>(weight + at) + kPrefetchBytes);
      }
      HWY_UNROLL(2)
      for (int r = 0; r < kRows; ++r) sums[r][c] = hn::MulAdd(w, hn::LoadU(d, x + r * in + at), sums[r][c]);
    }
  }
  for (int c = 0; k < in;
       k += lanes, ++c) {  // fewer than kChains vectors are left, the last one may be partial
    const auto rest = static_cast<size_t>(std::min(lanes, in - k));
    const bool whole = in - k >= lanes;
    const auto w = whole ? load_f32(d, weight + k) : load_f32_tail(d, weight + k, rest);
    for (int r = 0; r < kRows; ++r) {
      const auto input = whole ? hn::LoadU(d, x + r * in + k) : load_f32_tail(d, x + r * in + k, rest);
      sums[r][c] = hn::MulAdd(w, input, sums[r][c]);
    }
  }
  HWY_UNROLL(2)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(3)
    for (int width = kChains / 2; width > 0; width /= 2) {
      HWY_UNROLL(4)
      for (int c = 0; c < width; ++c) sums[r][c] = hn::Add(sums[r][c], sums[r][c + width]);
    }
    out[r * out_stride] = sum_lanes(d, sums[r][0]) + bias;
  }
}

/// Outputs begin … end of a weight [out, in].
void linear_out_in(const graph::Tensor& x, const graph::Tensor& weight, const graph::Tensor* bias,
                   const graph::Tensor& output, int64_t begin, int64_t end) {
  const int64_t rows = x.shape[0];
  const int64_t in = x.shape[1];
  const int64_t stride = output.shape[1];
  with_weight(weight, [&](const auto* w) HWY_ATTR {
    for (int64_t n = begin; n < end; ++n) {
      // After the first rows the weight row is in the first-level cache.
      const float b = bias != nullptr ? bias->at(n) : 0.0F;
      float* out = output.as<float>() + n;
      int64_t r = 0;
      for (; r + kRowBlock <= rows; r += kRowBlock) {
        dot_rows<kRowBlock>(x.f32() + r * in, in, w + n * in, b, out + r * stride, stride);
      }
      for (; r < rows; ++r) dot_rows<1>(x.f32() + r * in, in, w + n * in, b, out + r * stride, stride);
    }
  });
}

/// kVectors x Lanes outputs of kRows rows for a weight [in, out]; each output runs over the inputs in order.
template <int kVectors, int kRows, typename W>
HWY_INLINE void column_block(const float* x, int64_t in, const W* weight, int64_t weight_stride,
                             const float* bias, float* out, int64_t out_stride) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  VecF32 sums[kRows][kVectors];
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  for (int64_t k = 0; k < in; ++k) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) {
      const auto w = load_f32(d, weight + k * weight_stride + v * lanes);
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) sums[r][v] = hn::MulAdd(w, hn::Set(d, x[r * in + k]), sums[r][v]);
    }
  }
  HWY_UNROLL(4)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) {
      const auto sum = bias != nullptr ? hn::Add(sums[r][v], hn::LoadU(d, bias + v * lanes)) : sums[r][v];
      hn::StoreU(sum, d, out + r * out_stride + v * lanes);
    }
  }
}

template <int kVectors, typename W>
HWY_INLINE void column_rows(const float* x, int64_t rows, int64_t in, const W* weight, int64_t weight_stride,
                            const float* bias, float* out, int64_t out_stride) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    column_block<kVectors, 4>(x + r * in, in, weight, weight_stride, bias, out + r * out_stride, out_stride);
  }
  for (; r < rows; ++r) {
    column_block<kVectors, 1>(x + r * in, in, weight, weight_stride, bias, out + r * out_stride, out_stride);
  }
}

/// The last outputs, fewer than a vector: each lane's order of additions is that of column_block.
template <typename W>
HWY_INLINE void column_tail(const float* x, int64_t rows, int64_t in, const W* weight, int64_t weight_stride,
                            const float* bias, float* out, int64_t out_stride, size_t count) {
  const F32 d;
  for (int64_t r = 0; r < rows; ++r) {
    auto sum = hn::Zero(d);
    for (int64_t k = 0; k < in; ++k) {
      sum = hn::MulAdd(load_f32_tail(d, weight + k * weight_stride, count), hn::Set(d, x[r * in + k]), sum);
    }
    if (bias != nullptr) sum = hn::Add(sum, load_f32_tail(d, bias, count));
    store_tail(d, sum, out + r * out_stride, count);
  }
}

/// Outputs begin … end of a weight [in, out].
void linear_in_out(const graph::Tensor& x, const graph::Tensor& weight, const graph::Tensor* bias,
                   const graph::Tensor& output, int64_t begin, int64_t end) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t rows = x.shape[0];
  const int64_t in = x.shape[1];
  const int64_t stride = output.shape[1];
  constexpr int kVectors = 4;
  with_weight(weight, [&](const auto* w) HWY_ATTR {
    HWY_ALIGN float biases[kVectors * HWY_MAX_BYTES / 4];
    for (int64_t n = begin; n < end;) {
      const int64_t count = std::min(kVectors * lanes, end - n);
      for (int64_t i = 0; bias != nullptr && i < count; ++i) biases[i] = bias->at(n + i);
      const float* block_bias = bias != nullptr ? biases : nullptr;
      float* out = output.as<float>() + n;
      if (count == kVectors * lanes) {
        column_rows<kVectors>(x.f32(), rows, in, w + n, stride, block_bias, out, stride);
        n += count;
      } else if (count >= lanes) {
        column_rows<1>(x.f32(), rows, in, w + n, stride, block_bias, out, stride);
        n += lanes;
      } else {
        column_tail(x.f32(), rows, in, w + n, stride, block_bias, out, stride, static_cast<size_t>(count));
        n += count;
      }
    }
  });
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(linear_out_in);
HWY_EXPORT(linear_in_out);

void launch_linear_decode(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& x = launch.inputs[0];
  const graph::Tensor& weight = launch.inputs[1];
  const graph::Tensor* bias = launch.inputs.size() == 3 ? &launch.inputs[2] : nullptr;
  const bool out_in = static_cast<const graph::LinearOp&>(*launch.op).order() == graph::WeightOrder::out_in;
  const auto part = out_in ? HWY_DYNAMIC_DISPATCH(linear_out_in) : HWY_DYNAMIC_DISPATCH(linear_in_out);
  const int64_t outputs = launch.output.shape[1];
  if (x.shape[0] == 0 || outputs == 0) return;
  // Whole blocks of 64 outputs (four AVX-512 vectors of columns). A chunk has at least 64 KiB of weights, so
  // that the stream is seldom broken, and a thread gets some eight, so that a slow core does not hold up the
  // others.
  constexpr int64_t kBlock = 64;
  constexpr int64_t kChunkBytes = int64_t{64} << 10;
  ThreadPool& pool = pool_of(backend);
  const int64_t output_bytes =
      std::max<int64_t>(1, x.shape[1] * static_cast<int64_t>(dtype_bytes(weight.dtype)));
  const int64_t least = std::max(kChunkBytes / output_bytes, outputs / (8 * pool.threads()));
  const int64_t grain = std::max(kBlock, least / kBlock * kBlock);
  pool.parallel_for(outputs, grain,
                    [&](int64_t begin, int64_t end) { part(x, weight, bias, launch.output, begin, end); });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
