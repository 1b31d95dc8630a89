// The rows of an instruction, prepared in shared memory by each block for itself: as activation_rows.cu does
// in memory, value for value.
#pragma once

#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/step_barrier.cuh"
#include "backend/cuda/kernels/step_program.h"

namespace ingot::cuda {

inline constexpr int kMostStepWidth = 16384;
/// Threads that prepare rows; each stands for kTurns of the threads that prepare them in memory.
inline constexpr int kStepRowThreads = 256;
inline constexpr int kTurns = kRowThreads / kStepRowThreads;

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

/// Calls f(turn, first value's index) for each four of the threads that this one stands for, in the order of
/// each. What is in flight at a time: kFlight fours of each.
template <int kFlight, class F>
__device__ __forceinline__ void for_step_fours(int width, const F& f) {
#pragma unroll kFlight
  for (int begin = 0; begin < width; begin += kRowStep) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn)
      f(turn, begin + (turn * kStepRowThreads + static_cast<int>(threadIdx.x)) * 4);
  }
}
/// The warp, among those that prepare rows in memory, of a turn.
__device__ __forceinline__ int warp_of_turn(int turn) {
  return (turn * kStepRowThreads + static_cast<int>(threadIdx.x)) / kWarp;
}

/// What the norm of a row needs, added up as reduce_rows() does. Ends with a barrier of the rows' threads.
__device__ __forceinline__ void reduce_step_row(const RowPreparation& p, const float* row, int r,
                                                RowPartials& partials) {
  const bool is_first_lane = threadIdx.x % kWarp == 0;
  const auto in = static_cast<int>(p.in);
  float sums[kTurns] = {};
  for_step_fours<1>(in, [&](int turn, int i) {
    const float4 x = load_row<true>(row, i, in);
    float& sum = sums[turn];
    if (p.norm == LinearNorm::rms) {
      sum = __fmaf_rn(x.x, x.x, sum);
      sum = __fmaf_rn(x.y, x.y, sum);
      sum = __fmaf_rn(x.z, x.z, sum);
      sum = __fmaf_rn(x.w, x.w, sum);
    } else {
      sum += (x.x + x.y) + (x.z + x.w);
    }
  });
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const float sum = sum_of_warp(sums[turn]);
    if (is_first_lane) partials.sums[r][warp_of_turn(turn)] = sum;
  }
  sync_threads_of(kRowsBarrier, kStepRowThreads);
  if (p.norm == LinearNorm::rms) return;
  const float center = sum_of_partials(partials.sums[r]) / static_cast<float>(p.in);
  float offsets[kTurns] = {};
  float squares[kTurns] = {};
  for_step_fours<1>(in, [&](int turn, int i) {
    const float4 four = load_row<true>(row, i, in);
    const float x[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float offset = i + j < in ? __fsub_rn(x[j], center) : 0;
      offsets[turn] = __fadd_rn(offsets[turn], offset);
      squares[turn] = __fmaf_rn(offset, offset, squares[turn]);
    }
  });
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const float offset = sum_of_warp(offsets[turn]);
    const float square = sum_of_warp(squares[turn]);
    if (is_first_lane) {
      partials.offsets[r][warp_of_turn(turn)] = offset;
      partials.squares[r][warp_of_turn(turn)] = square;
    }
  }
  sync_threads_of(kRowsBarrier, kStepRowThreads);
}

/// The one row of at most 2 * kRowStep values after rms_norm as bf16, with every load ahead of the first use.
__device__ __forceinline__ void prepare_short_row(const RowPreparation& p, const StepRows& to, int pitch,
                                                  RowPartials& partials) {
  constexpr int kFours = 2;  // of a turn
  const auto in = static_cast<int>(p.in);
  float4 x[kFours][kTurns];
  float4 weight[kFours][kTurns];
  const auto index = [](int j, int turn) {
    return j * kRowStep + (turn * kStepRowThreads + static_cast<int>(threadIdx.x)) * 4;
  };
#pragma unroll
  for (int j = 0; j < kFours; ++j) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) x[j][turn] = load_row<true>(p.x, index(j, turn), in);
  }
#pragma unroll
  for (int j = 0; j < kFours; ++j) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn)
      weight[j][turn] = load_parameters<true>(p.norm_weight, index(j, turn), in);
  }
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    float sum = 0;
#pragma unroll
    for (int j = 0; j < kFours; ++j) {
      const float4& four = x[j][turn];
      sum = __fmaf_rn(four.x, four.x, sum);
      sum = __fmaf_rn(four.y, four.y, sum);
      sum = __fmaf_rn(four.z, four.z, sum);
      sum = __fmaf_rn(four.w, four.w, sum);
    }
    sum = sum_of_warp(sum);
    if (threadIdx.x % kWarp == 0) partials.sums[0][warp_of_turn(turn)] = sum;
  }
  sync_threads_of(kRowsBarrier, kStepRowThreads);
  const RowScale scale = scale_of_row(p, 0, partials);
#pragma unroll
  for (int j = 0; j < kFours; ++j) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
      const int i = index(j, turn);
      const float4& v = x[j][turn];
      const float4& w = weight[j][turn];
      const float4 y = {
          normalised(v.x, scale, w.x, 0, LinearNorm::rms), normalised(v.y, scale, w.y, 0, LinearNorm::rms),
          normalised(v.z, scale, w.z, 0, LinearNorm::rms), normalised(v.w, scale, w.w, 0, LinearNorm::rms)};
      if (i < pitch) *reinterpret_cast<uint2*>(to.values + i * 2) = as_bf16(y);
    }
  }
  if (threadIdx.x == 0) to.scales[0] = 1;
  sync_threads_of(kRowsBarrier, kStepRowThreads);
}

/// Asks for the parameters of a linear's norm, by threads of kStepRowThreads.
__device__ __forceinline__ void fetch_norm(const StepLinear& linear) {
  constexpr int kLine = 128;
  const int line = static_cast<int>(threadIdx.x) * kLine;
  const auto bytes = [&](const FloatRow& row) { return linear.in * (row.dtype == DType::f32 ? 4 : 2); };
  for (const FloatRow* row : {&linear.norm_weight, &linear.norm_bias}) {
    if (row->data != nullptr && line < bytes(*row)) fetch_line(static_cast<const char*>(row->data) + line);
  }
}

/// Any rows. Seldom run in a step's program: out of the way of what is.
__device__ __noinline__ void prepare_any_rows(const StepLinear& linear, const RowPreparation& p,
                                              const StepRows& to, RowPartials& partials) {
  const int stride = step_row_stride(linear.in);
  const auto pitch = static_cast<int>(prepared_pitch(linear.in));
  const bool is_f16 = linear.dtype == DType::f16;
#pragma unroll 1
  for (int r = 0; r < linear.rows; ++r) {
    const float* row = p.x + static_cast<int64_t>(r) * linear.in;
    if (p.norm != LinearNorm::none) reduce_step_row(p, row, r, partials);
    const RowScale scale = scale_of_row(p, r, partials);
    float factor = 1;
    if (is_f16) {
      float largest[kTurns] = {};
      for_step_fours<1>(linear.in, [&](int turn, int i) {
        const float4 y = normalised_four<true>(p, row, i, scale);
        largest[turn] =
            fmaxf(largest[turn], fmaxf(fmaxf(fabsf(y.x), fabsf(y.y)), fmaxf(fabsf(y.z), fabsf(y.w))));
      });
#pragma unroll
      for (int turn = 0; turn < kTurns; ++turn) {
        const float of_warp = largest_of_warp(largest[turn]);
        if (threadIdx.x % kWarp == 0) partials.largest[r][warp_of_turn(turn)] = of_warp;
      }
      sync_threads_of(kRowsBarrier, kStepRowThreads);
      const int exponent = f16_exponent(r, partials);
      factor = power_of_two(exponent);
      if (threadIdx.x == 0) to.scales[r] = power_of_two(-exponent);
    } else if (threadIdx.x == 0) {
      to.scales[r] = 1;
    }
    const auto write = [&](int i, const float4& y) {
      if (i < pitch)
        *reinterpret_cast<uint2*>(to.values + r * stride + i * 2) = is_f16 ? as_f16(y, factor) : as_bf16(y);
    };
    if (p.norm == LinearNorm::none) {
      for_step_fours<1>(pitch, [&](int, int i) { write(i, load_row<true>(row, i, linear.in)); });
    } else {
      for_step_fours<1>(pitch, [&](int, int i) { write(i, normalised_four<true>(p, row, i, scale)); });
    }
  }
  sync_threads_of(kRowsBarrier, kStepRowThreads);
}

/// Prepares all rows, by the first kStepRowThreads threads of the block; they have passed a barrier when it
/// returns.
__device__ __forceinline__ void prepare_step_rows(const StepLinear& linear, const StepRows& to,
                                                  RowPartials& partials) {
  const RowPreparation p{.x = linear.x,
                         .rows = linear.rows,
                         .in = linear.in,
                         .norm = linear.norm,
                         .eps = linear.eps,
                         .norm_weight = linear.norm_weight,
                         .norm_bias = linear.norm_bias};
  const auto pitch = static_cast<int>(prepared_pitch(linear.in));
  const bool is_f16 = linear.dtype == DType::f16;
  if (linear.rows == 1 && !is_f16 && p.norm == LinearNorm::rms && linear.in <= 2 * kRowStep)
    return prepare_short_row(p, to, pitch, partials);
  if (linear.rows == 1 && !is_f16 && p.norm == LinearNorm::none) {
    for_step_fours<4>(pitch, [&](int, int i) {
      const float4 y = load_row<true>(p.x, i, linear.in);
      if (i < pitch) *reinterpret_cast<uint2*>(to.values + i * 2) = as_bf16(y);
    });
    if (threadIdx.x == 0) to.scales[0] = 1;
    sync_threads_of(kRowsBarrier, kStepRowThreads);
    return;
  }
  prepare_any_rows(linear, p, to, partials);
}

}  // namespace ingot::cuda
