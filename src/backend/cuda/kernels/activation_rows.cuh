// Row preparation by one block of threads. Sums of a row run in one order whatever other rows there are;
// every operation that could be contracted is written out.
#pragma once

#include "backend/cuda/kernels/activation_rows.h"
#include "backend/cuda/kernels/linear_operands.cuh"

namespace ingot::cuda {

inline constexpr int kRowThreads = 512;
inline constexpr int kRowWarps = kRowThreads / kWarp;
inline constexpr int kRowStep = kRowThreads * 4;  // values that a block takes at a time, four a thread
inline constexpr int kMostRowsOfBlock = 8;

/// Partial sums of a block's rows; every reduction has its own, which saves barriers.
struct alignas(16) RowPartials {
  float sums[kMostRowsOfBlock][kRowWarps];
  float offsets[kMostRowsOfBlock][kRowWarps];
  float squares[kMostRowsOfBlock][kRowWarps];
  float largest[kMostRowsOfBlock][kRowWarps];
};

/// y = (x - center) * scale * weight + bias, and for f16 y / 2^exponent.
struct RowScale {
  float center = 0;
  float correction = 0;  // what rounding the center left
  float scale = 1;
};

__device__ inline float sum_of_warp(float value) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffU, value, lanes);
  return value;
}

__device__ inline float largest_of_warp(float value) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffU, value, lanes));
  return value;
}

__device__ inline float sum_of_partials(const float (&partials)[kRowWarps]) {
  float4 four = *reinterpret_cast<const float4*>(partials);
  float sum = four.x + four.y + four.z + four.w;
#pragma unroll
  for (int i = 4; i < kRowWarps; i += 4) {
    four = *reinterpret_cast<const float4*>(partials + i);
    sum = sum + four.x + four.y + four.z + four.w;
  }
  return sum;
}

/// Values i … i + 3 of a row, zeros beyond its end. kFours: the width is a multiple of four.
template <bool kFours>
__device__ inline float4 load_row(const float* row, int64_t i, int64_t in) {
  if constexpr (kFours) {
    if (i < in) return *reinterpret_cast<const float4*>(row + i);
    return {0, 0, 0, 0};
  } else {
    return {i < in ? row[i] : 0, i + 1 < in ? row[i + 1] : 0, i + 2 < in ? row[i + 2] : 0,
            i + 3 < in ? row[i + 3] : 0};
  }
}

template <bool kFours>
__device__ inline float4 load_parameters(const FloatRow& row, int64_t i, int64_t in) {
  if constexpr (kFours) {
    if (i < in) return load_four_floats(row, i);
    return {0, 0, 0, 0};
  } else {
    return {i < in ? load_float(row, i) : 0, i + 1 < in ? load_float(row, i + 1) : 0,
            i + 2 < in ? load_float(row, i + 2) : 0, i + 3 < in ? load_float(row, i + 3) : 0};
  }
}

/// Calls f(i) for the first value of each four of this thread. Every thread of a block makes as many calls.
template <class F>
__device__ inline void for_fours(int64_t width, const F& f) {
#pragma unroll 2
  for (int64_t begin = 0; begin < width; begin += kRowStep) f(begin + static_cast<int64_t>(threadIdx.x) * 4);
}

/// The rms_norm of one value.
__device__ inline float normalised(float x, float scale, float weight) {
  return __fmul_rn(__fmul_rn(x, scale), weight);
}
/// The norm of one value.
__device__ inline float normalised(float x, const RowScale& scale, float weight, float bias,
                                   LinearNorm norm) {
  if (norm == LinearNorm::rms) return normalised(x, scale.scale, weight);
  const float offset = __fsub_rn(__fsub_rn(x, scale.center), scale.correction);
  return __fmaf_rn(__fmul_rn(offset, scale.scale), weight, bias);
}

/// Values i … i + 3 of a row, `x`, after its norm, whose weights these are; zeros beyond its end.
template <bool kFours>
__device__ inline float4 normalised_four(const RowPreparation& p, const float4& x, const float4& weight,
                                         int64_t i, const RowScale& scale) {
  if (p.norm == LinearNorm::none) return x;
  float4 b = {0, 0, 0, 0};
  if (p.norm == LinearNorm::layer) b = load_parameters<kFours>(p.norm_bias, i, p.in);
  return {normalised(x.x, scale, weight.x, b.x, p.norm), normalised(x.y, scale, weight.y, b.y, p.norm),
          normalised(x.z, scale, weight.z, b.z, p.norm), normalised(x.w, scale, weight.w, b.w, p.norm)};
}
template <bool kFours>
__device__ inline float4 norm_weights(const RowPreparation& p, int64_t i) {
  if (p.norm == LinearNorm::none) return {1, 1, 1, 1};
  return load_parameters<kFours>(p.norm_weight, i, p.in);
}
template <bool kFours>
__device__ inline float4 normalised_four(const RowPreparation& p, const float* row, int64_t i,
                                         const RowScale& scale) {
  return normalised_four<kFours>(p, load_row<kFours>(row, i, p.in), norm_weights<kFours>(p, i), i, scale);
}

__device__ inline float largest_of_four(const float4& y) {
  return fmaxf(fmaxf(fabsf(y.x), fabsf(y.y)), fmaxf(fabsf(y.z), fabsf(y.w)));
}

/// What a norm needs of a row in its first pass. `each(f)` calls f(i, four) for this thread's fours in order.
template <class Each>
__device__ inline float first_sum_of_row(const RowPreparation& p, const Each& each) {
  float sum = 0;
  each([&](int64_t, const float4& x) {
    if (p.norm == LinearNorm::rms) {
      sum = __fmaf_rn(x.x, x.x, sum);
      sum = __fmaf_rn(x.y, x.y, sum);
      sum = __fmaf_rn(x.z, x.z, sum);
      sum = __fmaf_rn(x.w, x.w, sum);
    } else {
      sum += (x.x + x.y) + (x.z + x.w);
    }
  });
  return sum_of_warp(sum);
}

/// The second pass of layer_norm, which also sums what the rounding of the mean has left.
template <class Each>
__device__ inline float2 second_sums_of_row(const RowPreparation& p, float center, const Each& each) {
  float offsets = 0;
  float squares = 0;
  each([&](int64_t i, const float4& four) {
    const float x[4] = {four.x, four.y, four.z, four.w};
    for (int j = 0; j < 4; ++j) {
      const float offset = i + j < p.in ? __fsub_rn(x[j], center) : 0;
      offsets = __fadd_rn(offsets, offset);
      squares = __fmaf_rn(offset, offset, squares);
    }
  });
  return {sum_of_warp(offsets), sum_of_warp(squares)};
}

/// Sums over rows first … first + count of what their norm needs; `each(r, f)` as above, of row r of these.
/// Ends with a barrier. count <= kMostRowsOfBlock.
template <class Each>
__device__ inline void reduce_rows_of(const RowPreparation& p, int count, RowPartials& partials,
                                      const Each& each) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const bool is_first_lane = threadIdx.x % kWarp == 0;
  if (p.norm == LinearNorm::none) return;
  for (int r = 0; r < count; ++r) {
    const float sum = first_sum_of_row(p, [&](const auto& f) { each(r, f); });
    if (is_first_lane) partials.sums[r][warp] = sum;
  }
  __syncthreads();
  if (p.norm == LinearNorm::rms) return;

  for (int r = 0; r < count; ++r) {
    const float center = sum_of_partials(partials.sums[r]) / static_cast<float>(p.in);
    const float2 sums = second_sums_of_row(p, center, [&](const auto& f) { each(r, f); });
    if (is_first_lane) {
      partials.offsets[r][warp] = sums.x;
      partials.squares[r][warp] = sums.y;
    }
  }
  __syncthreads();
}

/// The same for rows in memory.
template <bool kFours>
__device__ inline void reduce_rows(const RowPreparation& p, int64_t first, int count, RowPartials& partials) {
  reduce_rows_of(p, count, partials, [&](int r, const auto& f) {
    const float* row = p.x + (first + r) * p.in;
    for_fours(p.in, [&](int64_t i) { f(i, load_row<kFours>(row, i, p.in)); });
  });
}

__device__ inline float scale_of(float variance, float eps) {
  return __frcp_rn(__fsqrt_rn(__fadd_rn(variance, eps)));
}
/// The scale of row `r` of those that were reduced.
__device__ inline RowScale scale_of_row(const RowPreparation& p, int r, const RowPartials& partials) {
  RowScale scale;
  if (p.norm == LinearNorm::none) return scale;
  const auto in = static_cast<float>(p.in);
  float variance;
  if (p.norm == LinearNorm::rms) {
    variance = __fdiv_rn(sum_of_partials(partials.sums[r]), in);
  } else {
    scale.center = sum_of_partials(partials.sums[r]) / in;
    scale.correction = __fdiv_rn(sum_of_partials(partials.offsets[r]), in);
    variance =
        __fmaf_rn(-scale.correction, scale.correction, __fdiv_rn(sum_of_partials(partials.squares[r]), in));
    variance = fmaxf(variance, 0.0F);
  }
  scale.scale = scale_of(variance, p.eps);
  return scale;
}

/// The largest magnitudes of the normalised rows. Ends with a barrier.
template <bool kFours>
__device__ inline void reduce_largest(const RowPreparation& p, int64_t first, int count,
                                      RowPartials& partials) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int r = 0; r < count; ++r) {
    const float* row = p.x + (first + r) * p.in;
    const RowScale scale = scale_of_row(p, r, partials);
    float largest = 0;
    for_fours(p.in, [&](int64_t i) {
      const float4 y = normalised_four<kFours>(p, row, i, scale);
      largest = fmaxf(largest, largest_of_four(y));
    });
    largest = largest_of_warp(largest);
    if (threadIdx.x % kWarp == 0) partials.largest[r][warp] = largest;
  }
  __syncthreads();
}

/// The exponent of the power of two that brings a row's largest magnitude to 2^14 … 2^15, which f16 holds.
__device__ inline int f16_exponent(int r, const RowPartials& partials) {
  float largest = partials.largest[r][0];
  for (int i = 1; i < kRowWarps; ++i) largest = fmaxf(largest, partials.largest[r][i]);
  const int biased = static_cast<int>(__float_as_uint(largest) >> 23);
  return min(141 - biased, 126);
}
__device__ inline float power_of_two(int exponent) {
  return __uint_as_float(static_cast<unsigned>(exponent + 127) << 23);
}

/// Four values of a row with an RMS norm.
__device__ inline float4 rms_normalised(const float4& y, float scale, const float4& weight) {
  return {normalised(y.x, scale, weight.x), normalised(y.y, scale, weight.y),
          normalised(y.z, scale, weight.z), normalised(y.w, scale, weight.w)};
}

/// A row of at most kKept * kRowStep values, a multiple of four, that a block reads once and keeps in
/// registers: zeros beyond its end.
template <int kKept>
struct KeptRow {
  float4 y[kKept];
  float4 weight[kKept];  // of the norm
  float part = 0;        // that one value is of the row, if it is a power of two

  /// This thread's first value of its fours number i.
  static __device__ int64_t at(int i) { return i * kRowStep + static_cast<int64_t>(threadIdx.x) * 4; }
  /// May run before the row is there.
  __device__ void load_weights(const RowPreparation& p) {
#pragma unroll
    for (int i = 0; i < kKept; ++i) weight[i] = norm_weights<true>(p, at(i));
    load_part(p);
  }
  __device__ void load_part(const RowPreparation& p) {
    if ((p.in & (p.in - 1)) == 0) part = __frcp_rn(static_cast<float>(p.in));
  }
  __device__ void load(const RowPreparation& p, const float* x) {
#pragma unroll
    for (int i = 0; i < kKept; ++i) y[i] = load_row<true>(x, at(i), p.in);
  }
  /// Has barriers where there is a norm.
  __device__ void normalise(const RowPreparation& p, RowPartials& partials) {
    const auto each = [&](const auto& f) {
#pragma unroll
      for (int i = 0; i < kKept; ++i) f(at(i), y[i]);
    };
    if (p.norm == LinearNorm::rms) [[likely]]
      return normalise_rms(p, partials, each);
    reduce_rows_of(p, 1, partials, [&](int, const auto& f) { each(f); });
    const RowScale scale = scale_of_row(p, 0, partials);
#pragma unroll
    for (int i = 0; i < kKept; ++i) y[i] = normalised_four<true>(p, y[i], weight[i], at(i), scale);
  }
  /// f16_exponent() of what it is now. Has a barrier.
  __device__ int exponent(RowPartials& partials) const {
    float largest = 0;
#pragma unroll
    for (int i = 0; i < kKept; ++i) largest = fmaxf(largest, largest_of_four(y[i]));
    largest = largest_of_warp(largest);
    if (threadIdx.x % kWarp == 0) partials.largest[0][threadIdx.x / kWarp] = largest;
    __syncthreads();
    return f16_exponent(0, partials);
  }

 private:
  /// The same by fewer instructions: warps beyond the row's end have sums of zero, and nothing else to do.
  template <class Each>
  __device__ void normalise_rms(const RowPreparation& p, RowPartials& partials, const Each& each) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const bool is_beyond = warp * (kWarp * 4) >= p.in;
    const float sum = is_beyond ? 0 : first_sum_of_row(p, each);
    if (threadIdx.x % kWarp == 0) partials.sums[0][warp] = sum;
    __syncthreads();
    if (is_beyond) return;
    const float squares = sum_of_partials(partials.sums[0]);
    // The same quotient, sooner.
    const float variance =
        part != 0 ? __fmul_rn(squares, part) : __fdiv_rn(squares, static_cast<float>(p.in));
    const float scale = scale_of(variance, p.eps);
#pragma unroll
    for (int i = 0; i < kKept; ++i) {
      if (i > 0 && at(i) >= p.in) continue;
      y[i] = rms_normalised(y[i], scale, weight[i]);
    }
  }
};

__device__ inline unsigned bits_of(__nv_bfloat162 pair) {
  return *reinterpret_cast<const unsigned*>(&pair);
}
__device__ inline unsigned bits_of(__half2 pair) {
  return *reinterpret_cast<const unsigned*>(&pair);
}

__device__ inline uint2 as_bf16(const float4& y) {
  return {bits_of(__floats2bfloat162_rn(y.x, y.y)), bits_of(__floats2bfloat162_rn(y.z, y.w))};
}
__device__ inline uint2 as_f16(const float4& y, float factor) {
  return {bits_of(__floats2half2_rn(y.x * factor, y.y * factor)),
          bits_of(__floats2half2_rn(y.z * factor, y.w * factor))};
}

/// Four of 32 values rounded to integers, with the scale of the 32 and the scale times their sum.
struct Int8Four {
  char4 values;
  float scale;
  float sum;
};
/// Of the block of 32 values that eight neighbouring lanes hold, four each. All lanes of a warp call it.
__device__ inline Int8Four as_int8(const float4& y) {
  // As integers, magnitudes have the same order, and what is not finite is above all others.
  const auto magnitude = [](float value) { return __float_as_uint(value) & 0x7fffffffU; };
  unsigned bits = max(max(magnitude(y.x), magnitude(y.y)), max(magnitude(y.z), magnitude(y.w)));
  for (int lanes = 4; lanes > 0; lanes /= 2) bits = max(bits, __shfl_xor_sync(0xffffffffU, bits, lanes));
  const float largest = __uint_as_float(bits);
  const bool is_zero = largest < 0x1p-100F;  // below it, 127 / largest would be infinite
  const float scale = (is_zero ? 0.0F : __fdiv_rn(largest, 127.0F)) + largest * 0;  // NaN if not finite
  const float inverse = is_zero ? 0.0F : __fdiv_rn(127.0F, largest);
  const int q[4] = {__float2int_rn(y.x * inverse), __float2int_rn(y.y * inverse),
                    __float2int_rn(y.z * inverse), __float2int_rn(y.w * inverse)};
  int sum = (q[0] + q[1]) + (q[2] + q[3]);
  for (int lanes = 4; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, lanes);
  return {{static_cast<signed char>(q[0]), static_cast<signed char>(q[1]), static_cast<signed char>(q[2]),
           static_cast<signed char>(q[3])},
          scale,
          scale * static_cast<float>(sum)};
}

}  // namespace ingot::cuda
