#include "backend/cuda/kernels/linear_epilogue.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMostRows = 32768;  // of a grid; the blocks stride over the rest

__device__ float one(const LinearSums& s, float sum, float up_sum, int64_t r, int64_t n) {
  const float row_scale = s.row_scales == nullptr ? 1.0F : s.row_scales[r];
  const float y = biased(sum, row_scale, s.bias, n);
  float up = 0;
  if (s.epilogue.gated)
    up = biased(up_sum, s.up_row_scales == nullptr ? 1.0F : s.up_row_scales[r], s.up_bias, n);
  return finished(s.epilogue, y, up, n, r * s.out + n);
}

/// Four outputs a thread where everything is aligned to them, else one. x: outputs, y: rows.
template <int kWidth>
__global__ void __launch_bounds__(kThreads) linear_epilogue(const __grid_constant__ LinearSums s) {
  begin_next_kernel();
  wait_for_inputs();
  const int64_t n = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (n >= s.out) return;
  for (int64_t r = blockIdx.y; r < s.rows; r += gridDim.y) {
    const float* sums = s.sums + r * s.stride + n;
    float* output = s.output + r * s.out + n;
    const float* ups = s.epilogue.gated ? s.up_sums + r * s.up_stride + n : sums;
    if constexpr (kWidth == 4) {
      const float4 sum = *reinterpret_cast<const float4*>(sums);
      const float4 up = *reinterpret_cast<const float4*>(ups);
      *reinterpret_cast<float4*>(output) = {one(s, sum.x, up.x, r, n), one(s, sum.y, up.y, r, n + 1),
                                            one(s, sum.z, up.z, r, n + 2), one(s, sum.w, up.w, r, n + 3)};
    } else {
      *output = one(s, *sums, *ups, r, n);
    }
  }
}

}  // namespace

void run_linear_epilogue(const Gpu& gpu, const LinearSums& sums) {
  if (sums.rows == 0 || sums.out == 0) return;
  const bool is_wide = sums.out % 4 == 0 && sums.stride % 4 == 0 && sums.up_stride % 4 == 0;
  const LaunchShape shape{
      .blocks = static_cast<unsigned>(divide_up(sums.out, int64_t{kThreads} * (is_wide ? 4 : 1))),
      .blocks_y = static_cast<unsigned>(sums.rows < kMostRows ? sums.rows : kMostRows),
      .threads = kThreads};
  launch_overlapped<LinearSums>(gpu, is_wide ? linear_epilogue<4> : linear_epilogue<1>, shape, sums);
}

}  // namespace ingot::cuda
