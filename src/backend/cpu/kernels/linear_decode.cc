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
// clang-format on

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"
#include "graph/ops/linear.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Sums per output of a dot product: two chains hide half of a multiply-add's latency, the outputs of a block
// hide the rest.
constexpr int kChains = 2;

/// kOutputs x kRows dot products: out[r * out_stride + o] = sum over k of x[r, k] weight[o, k] + bias[o].
template <int kOutputs, int kRows, typename W>
HWY_INLINE void dot_block(const float* x, int64_t in, const W* weight, const float* bias, float* out,
                          int64_t out_stride) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  VecF32 sums[kOutputs][kRows][kChains];
  HWY_UNROLL(8)
  for (int o = 0; o < kOutputs; ++o) {
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(2)
      for (int c = 0; c < kChains; ++c) sums[o][r][c] = hn::Zero(d);
    }
  }
  int64_t k = 0;
  for (; k + kChains * lanes <= in; k += kChains * lanes) {
    HWY_UNROLL(2)
    for (int c = 0; c < kChains; ++c) {
      const int64_t at = k + c * lanes;
      VecF32 inputs[kRows];
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) inputs[r] = hn::LoadU(d, x + r * in + at);
      HWY_UNROLL(8)
      for (int o = 0; o < kOutputs; ++o) {
        const auto w = load_f32(d, weight + o * in + at);
        HWY_UNROLL(4)
        for (int r = 0; r < kRows; ++r) sums[o][r][c] = hn::MulAdd(w, inputs[r], sums[o][r][c]);
      }
    }
  }
  for (int c = 0; k < in; k += lanes, c ^= 1) {  // at most kChains vectors are left, the last one partial
    const int64_t rest = in - k;
    for (int r = 0; r < kRows; ++r) {
      const auto input = rest < lanes ? load_f32_tail(d, x + r * in + k, static_cast<size_t>(rest))
                                      : hn::LoadU(d, x + r * in + k);
      for (int o = 0; o < kOutputs; ++o) {
        const W* row = weight + o * in + k;
        const auto w = rest < lanes ? load_f32_tail(d, row, static_cast<size_t>(rest)) : load_f32(d, row);
        sums[o][r][c] = hn::MulAdd(w, input, sums[o][r][c]);
      }
    }
  }
  HWY_UNROLL(8)
  for (int o = 0; o < kOutputs; ++o) {
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      const float sum = sum_lanes(d, hn::Add(sums[o][r][0], sums[o][r][1]));
      out[r * out_stride + o] = bias != nullptr ? sum + bias[o] : sum;
    }
  }
}

/// All rows for kOutputs weight rows, which stay in the first-level cache meanwhile.
template <int kOutputs, typename W>
HWY_INLINE void dot_rows(const float* x, int64_t rows, int64_t in, const W* weight, const float* bias, float* out,
                         int64_t out_stride) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    dot_block<kOutputs, 4>(x + r * in, in, weight, bias, out + r * out_stride, out_stride);
  }
  for (; r < rows; ++r) dot_block<kOutputs, 1>(x + r * in, in, weight, bias, out + r * out_stride, out_stride);
}

/// Outputs begin … end of a weight [out, in].
void linear_out_in(const graph::Tensor& x, const graph::Tensor& weight, const graph::Tensor* bias,
                   const graph::Tensor& output, int64_t begin, int64_t end) {
  const int64_t rows = x.shape[0];
  const int64_t in = x.shape[1];
  const int64_t stride = output.shape[1];
  constexpr int kOutputs = 4;
  with_weight(weight, [&](const auto* w) HWY_ATTR {
    float biases[kOutputs];
    for (int64_t n = begin; n < end; n += kOutputs) {
      const int64_t count = std::min<int64_t>(kOutputs, end - n);
      for (int64_t i = 0; bias != nullptr && i < count; ++i) biases[i] = bias->at(n + i);
      const float* block_bias = bias != nullptr ? biases : nullptr;
      float* out = output.as<float>() + n;
      if (count == kOutputs) {
        dot_rows<kOutputs>(x.f32(), rows, in, w + n * in, block_bias, out, stride);
      } else {
        for (int64_t i = 0; i < count; ++i) {
          dot_rows<1>(x.f32(), rows, in, w + (n + i) * in, bias != nullptr ? biases + i : nullptr, out + i, stride);
        }
      }
    }
  });
}

/// kVectors x Lanes outputs of kRows rows for a weight [in, out]; each output runs over the inputs in order.
template <int kVectors, int kRows, typename W>
HWY_INLINE void column_block(const float* x, int64_t in, const W* weight, int64_t weight_stride, const float* bias,
                             float* out, int64_t out_stride) {
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
  // Whole blocks a chunk (64 outputs: four AVX-512 vectors), about 64 KiB of weights, at least a few chunks a
  // thread so that a slow core does not hold up the others.
  constexpr int64_t kBlock = 64;
  constexpr int64_t kChunkBytes = int64_t{64} << 10;
  ThreadPool& pool = pool_of(backend);
  const int64_t output_bytes = std::max<int64_t>(1, x.shape[1] * static_cast<int64_t>(dtype_bytes(weight.dtype)));
  const int64_t by_bytes = kChunkBytes / output_bytes / kBlock * kBlock;
  const int64_t grain = std::max(kBlock, by_bytes);
  pool.parallel_for(outputs, grain,
                    [&](int64_t begin, int64_t end) { part(x, weight, bias, launch.output, begin, end); });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
