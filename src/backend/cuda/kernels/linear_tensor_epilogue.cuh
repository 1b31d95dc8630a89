// What follows the sums of a tile: the arithmetic of linear_epilogue.cuh, on four outputs of a row at a time.
#pragma once

#include "backend/cuda/kernels/linear_epilogue.cuh"
#include "backend/cuda/kernels/linear_tensor.cuh"

namespace ingot::cuda {

/// silu(x) with the bits of activated(), without its branches: a quotient corrected by its remainder.
/// Compared for every float within the bounds; beyond them the remainder may be no normal number.
__device__ inline float silu_within_bounds(float x) {
  const float divisor = __fadd_rn(1.0F, expf(-x));
  float inverse;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(divisor));
  const float quotient = __fmul_rn(x, inverse);
  return __fmaf_rn(__fmaf_rn(-divisor, quotient, x), inverse, quotient);
}
__device__ inline bool is_within_bounds_of_silu(float x) {
  return (fabsf(x) < 64.0F) & (fabsf(x) > 0x1p-60F);  // without a branch
}

template <int kCount>
__device__ __forceinline__ void activate(LinearActivation activation, float (&y)[kCount]) {
  if (activation == LinearActivation::none) return;
  bool is_usual = activation == LinearActivation::silu;
#pragma unroll
  for (int i = 0; i < kCount; ++i) is_usual &= is_within_bounds_of_silu(y[i]);
  if (is_usual) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) y[i] = silu_within_bounds(y[i]);
    return;
  }
  // One copy of the code, values taking turns: many would not stay in the instruction cache.
#pragma unroll 1
  for (int turn = 0; turn < kCount; ++turn) {
    const float first = activated(activation, y[0]);
#pragma unroll
    for (int i = 0; i + 1 < kCount; ++i) y[i] = y[i + 1];
    y[kCount - 1] = first;
  }
}

/// Values n … n + 3 of a row of parameters; what lies beyond `end` is zero.
__device__ inline float4 load_parameters_of_tile(const FloatRow& row, int64_t n, int64_t end) {
  if (n + 4 <= end && end % 4 == 0) return load_four_floats(row, n);
  return {n < end ? load_float(row, n) : 0, n + 1 < end ? load_float(row, n + 1) : 0,
          n + 2 < end ? load_float(row, n + 2) : 0, n + 3 < end ? load_float(row, n + 3) : 0};
}

/// Four outputs of a row that may end within them; in fours where rows are multiples of four.
__device__ inline float4 load_four_of_tile(const float* from, int count, bool is_even) {
  if (is_even && count == 4) return *reinterpret_cast<const float4*>(from);
  return {count > 0 ? from[0] : 0, count > 1 ? from[1] : 0, count > 2 ? from[2] : 0, count > 3 ? from[3] : 0};
}
__device__ inline void store_four_of_tile(float* to, const float4& y, int count, bool is_even) {
  if (is_even && count == 4) {
    // Written out: the compiler makes four stores of an assignment.
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(y.x), "f"(y.y), "f"(y.z), "f"(y.w)
                 : "memory");
    return;
  }
  if (count > 0) to[0] = y.x;
  if (count > 1) to[1] = y.y;
  if (count > 2) to[2] = y.z;
  if (count > 3) to[3] = y.w;
}

/// A barrier of the threads of one warpgroup.
__device__ inline void synchronise_group(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "n"(kGroupThreads) : "memory");
}

__device__ inline void add_to(float* y, const float4& more) {
  y[0] = __fadd_rn(y[0], more.x);
  y[1] = __fadd_rn(y[1], more.y);
  y[2] = __fadd_rn(y[2], more.z);
  y[3] = __fadd_rn(y[3], more.w);
}

__device__ inline void scale_by(float* y, float scale) {
  for (int j = 0; j < 4; ++j) y[j] = __fmul_rn(y[j], scale);
}

__device__ inline void copy_four(float* to, const float* from) {
  const float4 four = *reinterpret_cast<const float4*>(from);
  to[0] = four.x;
  to[1] = four.y;
  to[2] = four.z;
  to[3] = four.w;
}

/// Where sum m of staged row n waits: fours stay together, and neither writing nor reading meets a bank
/// twice.
__device__ inline int staged(int n, int m) {
  return n * kGroupOutputs + (m ^ (n / 2 % 4 * 8));
}

/// Finishes and writes the sums of a warpgroup, kStagedRows at a time: through shared memory, so that what is
/// read and written are whole lines. `output`, `first_row`: of the first sum; of gated ones the first half of
/// the weight rows are the first factor's. `staging`: kStagedSums of this warpgroup alone, or twice that
/// where kColumns is more than kStagedRows. kWhole: nothing of the tile is beyond the last row or output, and
/// rows of outputs are multiples of four. Sums are there when wait() has returned; what else is read is asked
/// for before.
template <bool kGated, bool kWhole, int kColumns, class Wait>
__device__ __forceinline__ void finish_tile(const TensorArguments& a, int part_index, int output,
                                            int first_row, int group, const float (&sums)[kColumns / 2],
                                            float* staging, const Wait& wait) {
  constexpr int kOutputs = kGated ? kGroupOutputs / 2 : kGroupOutputs;
  constexpr int kFours = kOutputs / 4;
  constexpr int kRowsAtOnce = kGroupThreads / kFours;
  constexpr int kSteps = kStagedRows / kRowsAtOnce;  // fours of a thread
  constexpr int kChunks = kColumns / kStagedRows;
  const TensorLinear& linear = a.linear;
  const TensorPart& part = linear.parts[part_index];
  const LinearEpilogue& epilogue = linear.epilogue;
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
  const int warp = thread / kWarp;
  const int lane = thread % kWarp;

  const int m = thread % kFours * 4;
  const int n = thread / kFours;
  const int64_t outputs = part.outputs;
  const int64_t stride = linear.stride == 0 ? outputs : linear.stride;
  int count = 4;
  bool is_even = true;
  int rows = kColumns;  // from this thread's first
  if constexpr (!kWhole) {
    count = static_cast<int>(min(max(outputs - output - m, int64_t{0}), int64_t{4}));
    is_even = stride % 4 == 0;
    rows = count == 0 ? 0 : static_cast<int>(linear.rows) - first_row - n;
  }
  // Of this thread in the chunk at hand.
  int64_t at = (int64_t{first_row} + n) * stride + output + m;
  const int64_t step = kRowsAtOnce * stride;

  const bool has_scales = linear.row_scales != nullptr;
  const bool has_bias = part.bias.data != nullptr;
  const bool has_up_bias = kGated && part.up_bias.data != nullptr;
  const bool has_add = epilogue.add.data != nullptr;
  const bool has_residual = epilogue.residual != nullptr;
  float4 bias = {0, 0, 0, 0};
  float4 up_bias = {0, 0, 0, 0};
  float4 add = {0, 0, 0, 0};
  if (has_bias) bias = load_parameters_of_tile(part.bias, output + m, outputs);
  if (has_up_bias) up_bias = load_parameters_of_tile(part.up_bias, output + m, outputs);
  if (has_add && !epilogue.adds_rows) add = load_parameters_of_tile(epilogue.add, output + m, outputs);

  float4 residual[kSteps] = {};
  const auto load_residual = [&](int i, int first, int64_t from) {
    if (kWhole || first + i * kRowsAtOnce < rows)
      residual[i] = load_four_of_tile(epilogue.residual + from + i * step, count, is_even);
  };
  if (has_residual) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) load_residual(i, 0, at);
  }
  wait();
  // Of the first sum of this thread; those of eight weight rows further are at its address with another bit.
  const int own = staged(lane % 4 * 2, warp * 16 + lane / 4);
  const auto stage = [&](int chunk) {
    float* const to[] = {staging + chunk % 2 * kStagedSums + own,
                         staging + chunk % 2 * kStagedSums + (own ^ 8)};
#pragma unroll
    for (int other = 0; other < kChunks; ++other) {  // sums stay in registers: their places are constants
      if (other != chunk) continue;
#pragma unroll
      for (int j = 0; j < kStagedRows / 8; ++j) {
#pragma unroll
        for (int c = 0; c < 4; ++c)
          to[c / 2][(j * 8 + c % 2) * kGroupOutputs] = sums[(other * (kStagedRows / 8) + j) * 4 + c];
      }
    }
  };
  static_assert(kRowsAtOnce % 8 == 0);  // rows whose fours wait in the same order
  const int four = staged(n, m);
  stage(0);
#pragma unroll 1
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    if (!kWhole && chunk * kStagedRows + first_row >= linear.rows) break;
    synchronise_group(group);
    const float* from = staging + chunk % 2 * kStagedSums + four;
    if (chunk + 1 < kChunks) stage(chunk + 1);
    // What is optional has a branch of its own around all fours: loads stay together.
    float y[kSteps * 4];
    float up[kSteps * 4];
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const float* sums_of_four = from + i * kRowsAtOnce * kGroupOutputs;
      copy_four(y + 4 * i, sums_of_four);
      if constexpr (kGated) copy_four(up + 4 * i, sums_of_four + kGroupOutputs / 2);
    }
    const auto is_there = [&](int i) { return kWhole || chunk * kStagedRows + i * kRowsAtOnce < rows; };
    if (has_scales) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) {
        if (!is_there(i)) continue;
        const float scale = linear.row_scales[first_row + n + chunk * kStagedRows + i * kRowsAtOnce];
        scale_by(y + 4 * i, scale);
        if constexpr (kGated) scale_by(up + 4 * i, scale);
      }
    }
    if (has_bias) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) add_to(y + 4 * i, bias);
    }
    if (has_up_bias) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) add_to(up + 4 * i, up_bias);
    }
    if (has_add) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) {
        if (epilogue.adds_rows && is_there(i))
          add =
              load_four_of_tile(static_cast<const float*>(epilogue.add.data) + at + i * step, count, is_even);
        add_to(y + 4 * i, add);
      }
    }
    activate(epilogue.activation, y);
    if constexpr (kGated) {
#pragma unroll
      for (int i = 0; i < kSteps * 4; ++i) y[i] = __fmul_rn(y[i], up[i]);
    }
    if (has_residual) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) add_to(y + 4 * i, residual[i]);
      if (chunk + 1 < kChunks) {
#pragma unroll
        for (int i = 0; i < kSteps; ++i)
          load_residual(i, (chunk + 1) * kStagedRows, at + kStagedRows * stride);
      }
    }
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      if (is_there(i))
        store_four_of_tile(part.out + at + i * step, {y[4 * i], y[4 * i + 1], y[4 * i + 2], y[4 * i + 3]},
                           count, is_even);
    }
    at += kStagedRows * stride;
  }
  synchronise_group(group);  // before the next tile writes where this one's last chunks wait
}

}  // namespace ingot::cuda
