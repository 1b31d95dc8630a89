// The products of few rows with a weight read in place: bound by reading the weights, which are decoded in
// registers.
//
// Each output is one dot product (out_in) or one running sum over the inputs (in_out). Its order of additions
// is fixed by the input width alone, so that neither other rows, nor the blocking below, nor threads, nor
// what a kernel does with the products show in its bits.
//
// Included once per Highway target, after <hwy/highway.h>.
#if defined(INGOT_CPU_DECODE_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_DECODE_PRODUCTS_INL_H_
#undef INGOT_CPU_DECODE_PRODUCTS_INL_H_
#else
#define INGOT_CPU_DECODE_PRODUCTS_INL_H_
#endif

#include <hwy/highway.h>

#include "backend/cpu/kernels/block_products-inl.h"
#include "backend/cpu/kernels/decode_rows.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"
#include "backend/cpu/kernels/weights_ahead.h"

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

/// kRows dot products with one weight row, x[r, :] · weight, each as a vector whose lanes are still to be
/// summed. `ahead`: bytes from a weight to the one that is asked for beside it.
template <int kRows, typename W>
HWY_INLINE void dot_rows(const float* x, int64_t in, const W* weight, uintptr_t ahead, VecF32* totals) {
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
        prefetch_far(address_of(weight + at) + ahead);
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
    totals[r] = sums[r][0];
  }
}

/// kRows rows times up to 4 weight rows: out[r * out_stride + o] for o < count.
template <int kRows, typename W>
HWY_INLINE void dot_block(const float* x, int64_t in, const W* weight, const uintptr_t* ahead, int64_t count,
                          const float* bias, float* out, int64_t out_stride) {
  const F32 d;
  VecF32 totals[4][kRows];
  for (int64_t o = 0; o < 4; ++o) {
    if (o < count) {
      dot_rows<kRows>(x, in, weight + o * in, ahead[o], totals[o]);
    } else {
      for (int r = 0; r < kRows; ++r) totals[o][r] = hn::Zero(d);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float sums[4];
    sum_lanes4(d, totals[0][r], totals[1][r], totals[2][r], totals[3][r], sums);
    for (int64_t o = 0; o < count; ++o) out[r * out_stride + o] = sums[o] + bias[o];
  }
}

/// For a weight [out, in].
inline void dot_products(const DecodeRows& x, const LinearPart& part, int64_t begin, int64_t end, float* out,
                         int64_t out_stride, const void* next) {
  const int64_t in = x.in;
  with_weight(*part.weight, [&](const auto* w) HWY_ATTR {
    const void* stop = w + end * in;
    for (int64_t n = begin; n < end; n += 4, out += 4) {
      // After the first rows the weight rows are in the first-level cache.
      const int64_t count = std::min<int64_t>(4, end - n);
      float biases[4] = {};
      uintptr_t ahead[4] = {};
      for (int64_t o = 0; o < count; ++o) {
        if (part.bias != nullptr) biases[o] = part.bias->at(n + o);
        ahead[o] = bytes_ahead(w + (n + o) * in, stop, next);
      }
      int64_t r = 0;
      for (; r + kRowBlock <= x.rows; r += kRowBlock) {
        dot_block<kRowBlock>(x.data + r * in, in, w + n * in, ahead, count, biases, out + r * out_stride,
                             out_stride);
      }
      for (; r < x.rows; ++r) {
        dot_block<1>(x.data + r * in, in, w + n * in, ahead, count, biases, out + r * out_stride, out_stride);
      }
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

/// For a weight [in, out].
inline void column_products(const DecodeRows& x, const LinearPart& part, int64_t begin, int64_t end,
                            float* out, int64_t out_stride) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t stride = part.weight->shape[1];
  constexpr int kVectors = 4;
  with_weight(*part.weight, [&](const auto* w) HWY_ATTR {
    HWY_ALIGN float biases[kVectors * HWY_MAX_BYTES / 4];
    for (int64_t n = begin; n < end;) {
      int64_t count = std::min(kVectors * lanes, end - n);
      for (int64_t i = 0; part.bias != nullptr && i < count; ++i) biases[i] = part.bias->at(n + i);
      const float* bias = part.bias != nullptr ? biases : nullptr;
      const auto* columns = x.in == 0 ? w : w + n;  // a weight without inputs has no memory
      if (count == kVectors * lanes) {
        column_rows<kVectors>(x.data, x.rows, x.in, columns, stride, bias, out, out_stride);
      } else if (count >= lanes) {
        count = lanes;
        column_rows<1>(x.data, x.rows, x.in, columns, stride, bias, out, out_stride);
      } else {
        column_tail(x.data, x.rows, x.in, columns, stride, bias, out, out_stride, static_cast<size_t>(count));
      }
      n += count;
      out += count;
    }
  });
}

/// out[r * out_stride + i] = x[r, :] times output begin + i of the part's weight, plus its bias, for begin +
/// i < end. `next`: the weights that this thread will probably read after them, or null.
inline void decode_products(const DecodeRows& x, const LinearPart& part, int64_t begin, int64_t end,
                            float* out, int64_t out_stride, const void* next) {
  if (is_block_dtype(part.weight->dtype)) {
    block_products(x, part, begin, end, out, out_stride, next);
  } else if (part.out_in) {
    dot_products(x, part, begin, end, out, out_stride, next);
  } else {
    column_products(x, part, begin, end, out, out_stride);
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_DECODE_PRODUCTS_INL_H_
