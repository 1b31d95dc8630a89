#include "backend/cuda/kernels/softmax.h"

#include "backend/cuda/kernels/rows.cuh"

namespace ingot::cuda {
namespace {

template <class Shape>
__global__ void __launch_bounds__(Shape::kBlock) softmax_kernel(Softmax softmax) {
  constexpr int kVector = Shape::kVector;
  const int64_t r = row_of_thread<Shape>();
  if (r >= softmax.rows) return;
  const Row<Shape> row(softmax.x + r * softmax.width, softmax.width);
  const float max = row.reduce(MaxOf(), [](float a, float b) { return fmaxf(a, b); });
  // Computed twice rather than kept: memory, not arithmetic, is what this kernel waits for.
  const auto exponential = [&](float x) { return expf(__fsub_rn(x, max)); };
  const float sum = row.reduce(SumOf(), [&](float a, float x) { return __fadd_rn(a, exponential(x)); });
  const float scale = __frcp_rn(sum);
  row.write(softmax.out + r * softmax.width, [&](int64_t, const Values<kVector>& x) {
    Values<kVector> y;
#pragma unroll
    for (int k = 0; k < kVector; ++k) y.at[k] = __fmul_rn(exponential(x.at[k]), scale);
    return y;
  });
}

}  // namespace

void run_softmax(const Gpu& gpu, const Softmax& softmax) {
  if (softmax.rows == 0 || softmax.width == 0) return;
  with_row_shape(softmax.width, [&]<class Shape>(Shape) {
    softmax_kernel<Shape><<<row_blocks<Shape>(softmax.rows), Shape::kBlock, 0, gpu.stream>>>(softmax);
  });
}

}  // namespace ingot::cuda
