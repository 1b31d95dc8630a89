// The rows of an instruction, prepared in shared memory by each block for itself: as activation_rows.cu does
// in memory, value for value.
#pragma once

#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/step_barrier.cuh"
#include "backend/cuda/kernels/step_program.h"

namespace ingot::cuda {

inline constexpr int kMostStepWidth = 16384;
/// Fours of a row that a thread holds between the passes over it.
inline constexpr int kHeldFours = kMostStepWidth / kRowStep;

/// Bytes between rows: 64 beyond a multiple of 128, so that the lanes of a warp, which read 64 bytes of each
/// of 8 rows at a time, find them in different banks.
__host__ __device__ constexpr int step_row_stride(int64_t in) {
  const auto bytes = static_cast<int>(prepared_pitch(in)) * 2;
  return bytes % 128 == 0 ? bytes + 64 : bytes;
}

struct StepRows {
  char* values;   // [rows, step_row_stride(in)] bytes
  float* scales;  // [kMostStepRows]: what sums are multiplied with
};

/// A row's values as this thread's fours: kept from the first pass where the row is the only one.
class RowFours {
 public:
  __device__ RowFours(const float* row, int in, bool is_held) : row_(row), in_(in), is_held_(is_held) {
    if (!is_held) return;
#pragma unroll
    for (int j = 0; j < kHeldFours; ++j) held_[j] = load(j);
  }
  /// Calls f(first value's index, four) for each four of this thread, in order; zeros beyond the row's end.
  template <class F>
  __device__ void for_each(const F& f) const {
#pragma unroll
    for (int j = 0; j < kHeldFours; ++j) {
      if (j * kRowStep < in_) f(index(j), is_held_ ? held_[j] : load(j));
    }
  }

 private:
  __device__ static int index(int j) { return j * kRowStep + static_cast<int>(threadIdx.x) * 4; }
  __device__ float4 load(int j) const {
    if (index(j) >= in_) return {0, 0, 0, 0};
    return __ldcg(reinterpret_cast<const float4*>(row_ + index(j)));
  }
  const float* row_;
  int in_;
  bool is_held_;
  float4 held_[kHeldFours];
};

/// What the norm of a row needs, added up as reduce_rows() does. Ends with a barrier of the rows' threads.
__device__ inline void reduce_step_row(const RowPreparation& p, const RowFours& row, int r,
                                       RowPartials& partials) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const bool is_first_lane = threadIdx.x % kWarp == 0;
  float sum = 0;
  row.for_each([&](int, const float4& x) {
    if (p.norm == LinearNorm::rms) {
      sum = __fmaf_rn(x.x, x.x, sum);
      sum = __fmaf_rn(x.y, x.y, sum);
      sum = __fmaf_rn(x.z, x.z, sum);
      sum = __fmaf_rn(x.w, x.w, sum);
    } else {
      sum += (x.x + x.y) + (x.z + x.w);
    }
  });
  sum = sum_of_warp(sum);
  if (is_first_lane) partials.sums[r][warp] = sum;
  sync_threads_of(kRowsBarrier, kRowThreads);
  if (p.norm == LinearNorm::rms) return;
  const float center = sum_of_partials(partials.sums[r]) / static_cast<float>(p.in);
  float offsets = 0;
  float squares = 0;
  row.for_each([&](int i, const float4& four) {
    const float x[4] = {four.x, four.y, four.z, four.w};
    for (int j = 0; j < 4; ++j) {
      const float offset = i + j < p.in ? __fsub_rn(x[j], center) : 0;
      offsets = __fadd_rn(offsets, offset);
      squares = __fmaf_rn(offset, offset, squares);
    }
  });
  offsets = sum_of_warp(offsets);
  squares = sum_of_warp(squares);
  if (is_first_lane) {
    partials.offsets[r][warp] = offsets;
    partials.squares[r][warp] = squares;
  }
  sync_threads_of(kRowsBarrier, kRowThreads);
}

/// normalised_four() of values that are at hand.
__device__ inline float4 normalised_held(const RowPreparation& p, const float4& x, int64_t i,
                                         const RowScale& scale) {
  if (p.norm == LinearNorm::none) return x;
  const float4 w = load_parameters<true>(p.norm_weight, i, p.in);
  float4 b = {0, 0, 0, 0};
  if (p.norm == LinearNorm::layer) b = load_parameters<true>(p.norm_bias, i, p.in);
  return {normalised(x.x, scale, w.x, b.x, p.norm), normalised(x.y, scale, w.y, b.y, p.norm),
          normalised(x.z, scale, w.z, b.z, p.norm), normalised(x.w, scale, w.w, b.w, p.norm)};
}

/// Prepares all rows, by the first kRowThreads threads of the block; they have passed a barrier when it
/// returns.
__device__ inline void prepare_step_rows(const StepLinear& linear, const StepRows& to,
                                         RowPartials& partials) {
  const RowPreparation p{.x = linear.x,
                         .rows = linear.rows,
                         .in = linear.in,
                         .norm = linear.norm,
                         .eps = linear.eps,
                         .norm_weight = linear.norm_weight,
                         .norm_bias = linear.norm_bias};
  const int stride = step_row_stride(linear.in);
  const auto pitch = static_cast<int>(prepared_pitch(linear.in));
  const bool is_f16 = linear.dtype == DType::f16;
#pragma unroll 1
  for (int r = 0; r < linear.rows; ++r) {
    const RowFours row(p.x + static_cast<int64_t>(r) * linear.in, linear.in, linear.rows == 1);
    if (p.norm != LinearNorm::none) reduce_step_row(p, row, r, partials);
    const RowScale scale = scale_of_row(p, r, partials);
    float factor = 1;
    if (is_f16) {
      float largest = 0;
      row.for_each([&](int i, const float4& x) {
        const float4 y = normalised_held(p, x, i, scale);
        largest = fmaxf(largest, fmaxf(fmaxf(fabsf(y.x), fabsf(y.y)), fmaxf(fabsf(y.z), fabsf(y.w))));
      });
      largest = largest_of_warp(largest);
      if (threadIdx.x % kWarp == 0) partials.largest[r][threadIdx.x / kWarp] = largest;
      sync_threads_of(kRowsBarrier, kRowThreads);
      const int exponent = f16_exponent(r, partials);
      factor = power_of_two(exponent);
      if (threadIdx.x == 0) to.scales[r] = power_of_two(-exponent);
    } else if (threadIdx.x == 0) {
      to.scales[r] = 1;
    }
    row.for_each([&](int i, const float4& x) {
      if (i >= pitch) return;
      const float4 y = normalised_held(p, x, i, scale);
      *reinterpret_cast<uint2*>(to.values + r * stride + i * 2) = is_f16 ? as_f16(y, factor) : as_bf16(y);
    });
  }
  sync_threads_of(kRowsBarrier, kRowThreads);
}

}  // namespace ingot::cuda
