#include "backend/cuda/kernels/norms.h"

#include "backend/cuda/kernels/rows.cuh"

namespace ingot::cuda {
namespace {

/// Once a row: exact division and root.
__device__ float inverse_root(float squares, int64_t width, float eps) {
  return __frcp_rn(__fsqrt_rn(__fadd_rn(__fdiv_rn(squares, static_cast<float>(width)), eps)));
}

template <class Shape>
__global__ void __launch_bounds__(Shape::kBlock) rms_norm_kernel(RmsNorm norm) {
  constexpr int kVector = Shape::kVector;
  const int64_t r = row_of_thread<Shape>();
  if (r >= norm.rows) return;  // whole warps: only those without a row of their own
  const Row<Shape> row(norm.x + r * norm.width, norm.width);
  const float squares = row.reduce(SumOf(), [](float sum, float x) { return __fmaf_rn(x, x, sum); });
  const float scale = inverse_root(squares, norm.width, norm.eps);
  row.write(norm.out + r * norm.width, [&](int64_t column, const Values<kVector>& x) {
    const auto weight = load_values<kVector>(norm.weight_dtype, norm.weight, column);
    Values<kVector> y;
#pragma unroll
    for (int k = 0; k < kVector; ++k) y.at[k] = __fmul_rn(__fmul_rn(x.at[k], scale), weight.at[k]);
    return y;
  });
}

template <class Shape>
__global__ void __launch_bounds__(Shape::kBlock) layer_norm_kernel(LayerNorm norm) {
  constexpr int kVector = Shape::kVector;
  const int64_t r = row_of_thread<Shape>();
  if (r >= norm.rows) return;
  const auto width = static_cast<float>(norm.width);
  const Row<Shape> row(norm.x + r * norm.width, norm.width);
  const float mean =
      __fdiv_rn(row.reduce(SumOf(), [](float sum, float x) { return __fadd_rn(sum, x); }), width);
  // The mean is rounded. What it misses is the mean of the deviations from it, small numbers whose sum is
  // exact enough; without it, numbers that nearly agree would lose what tells them apart.
  const float rest = __fdiv_rn(
      row.reduce(SumOf(), [&](float sum, float x) { return __fadd_rn(sum, __fsub_rn(x, mean)); }), width);
  const auto deviation = [&](float x) { return __fsub_rn(__fsub_rn(x, mean), rest); };
  const float squares =
      row.reduce(SumOf(), [&](float sum, float x) { return __fmaf_rn(deviation(x), deviation(x), sum); });
  const float scale = inverse_root(squares, norm.width, norm.eps);
  row.write(norm.out + r * norm.width, [&](int64_t column, const Values<kVector>& x) {
    const auto weight = load_values<kVector>(norm.weight_dtype, norm.weight, column);
    const auto bias = load_values<kVector>(norm.bias_dtype, norm.bias, column);
    Values<kVector> y;
#pragma unroll
    for (int k = 0; k < kVector; ++k)
      y.at[k] = __fmaf_rn(__fmul_rn(deviation(x.at[k]), scale), weight.at[k], bias.at[k]);
    return y;
  });
}

}  // namespace

void run_rms_norm(const Gpu& gpu, const RmsNorm& norm) {
  if (norm.rows == 0 || norm.width == 0) return;
  with_row_shape(norm.width, [&]<class Shape>(Shape) {
    rms_norm_kernel<Shape><<<row_blocks<Shape>(norm.rows), Shape::kBlock, 0, gpu.stream>>>(norm);
  });
}

void run_layer_norm(const Gpu& gpu, const LayerNorm& norm) {
  if (norm.rows == 0 || norm.width == 0) return;
  with_row_shape(norm.width, [&]<class Shape>(Shape) {
    layer_norm_kernel<Shape><<<row_blocks<Shape>(norm.rows), Shape::kBlock, 0, gpu.stream>>>(norm);
  });
}

}  // namespace ingot::cuda
