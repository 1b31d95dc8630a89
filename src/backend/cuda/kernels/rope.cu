// One thread for four pairs (or two neighbouring ones) of a head, or four dimensions that stay as they are;
// for one where widths are no multiples of four. A thread reads all it needs before it writes there.
#include "backend/cuda/kernels/rope.h"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 256;

struct Pair {
  float a, b;
};
__device__ Pair rotate(float a, float b, float cosine, float sine) {
  return {a * cosine - b * sine, b * cosine + a * sine};
}

template <int kWidth>
__device__ void copy(const float* x, float* out, int dim) {
#pragma unroll
  for (int i = 0; i < kWidth; ++i) out[dim + i] = x[dim + i];
}
template <>
__device__ void copy<4>(const float* x, float* out, int dim) {
  *reinterpret_cast<float4*>(out + dim) = *reinterpret_cast<const float4*>(x + dim);
}

/// kWidth: 4 or 1. `turning`: units of a head that rotate; `units`: of a head in all.
template <int kWidth, bool kInterleaved>
__global__ void __launch_bounds__(kThreads) rotate_rows(const Rope r, const int turning, const int units) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t head = index / units;
  if (head >= r.rows * r.heads) return;
  const int unit = static_cast<int>(index - head * units);
  const float* x = r.x + head * r.head_dim;
  float* out = r.out + head * r.head_dim;
  if (unit >= turning) {
    if (r.x != r.out) copy<kWidth>(x, out, 2 * r.pairs + (unit - turning) * kWidth);
    return;
  }
  const float* cosines = r.table + head / r.heads * 2 * r.pairs;
  const float* sines = cosines + r.pairs;
  if constexpr (kWidth == 4 && kInterleaved) {
    const float4 v = *reinterpret_cast<const float4*>(x + 4 * unit);
    const float2 c = *reinterpret_cast<const float2*>(cosines + 2 * unit);
    const float2 s = *reinterpret_cast<const float2*>(sines + 2 * unit);
    const Pair first = rotate(v.x, v.y, c.x, s.x);
    const Pair second = rotate(v.z, v.w, c.y, s.y);
    *reinterpret_cast<float4*>(out + 4 * unit) = {first.a, first.b, second.a, second.b};
  } else if constexpr (kWidth == 4) {
    const float4 a = *reinterpret_cast<const float4*>(x + 4 * unit);
    const float4 b = *reinterpret_cast<const float4*>(x + r.pairs + 4 * unit);
    const float4 c = *reinterpret_cast<const float4*>(cosines + 4 * unit);
    const float4 s = *reinterpret_cast<const float4*>(sines + 4 * unit);
    const Pair p0 = rotate(a.x, b.x, c.x, s.x);
    const Pair p1 = rotate(a.y, b.y, c.y, s.y);
    const Pair p2 = rotate(a.z, b.z, c.z, s.z);
    const Pair p3 = rotate(a.w, b.w, c.w, s.w);
    *reinterpret_cast<float4*>(out + 4 * unit) = {p0.a, p1.a, p2.a, p3.a};
    *reinterpret_cast<float4*>(out + r.pairs + 4 * unit) = {p0.b, p1.b, p2.b, p3.b};
  } else {
    const int first = kInterleaved ? 2 * unit : unit;
    const int second = kInterleaved ? first + 1 : first + r.pairs;
    const Pair pair = rotate(x[first], x[second], cosines[unit], sines[unit]);
    out[first] = pair.a;
    out[second] = pair.b;
  }
}

template <int kWidth, bool kInterleaved>
void run(const Gpu& gpu, const Rope& rope) {
  const int turning = rope.pairs / (kWidth == 4 && kInterleaved ? 2 : kWidth);
  const int units = turning + (rope.head_dim - 2 * rope.pairs) / kWidth;
  const int64_t blocks = divide_up(rope.rows * rope.heads * units, kThreads);
  if (blocks == 0) return;
  rotate_rows<kWidth, kInterleaved>
      <<<static_cast<unsigned>(blocks), kThreads, 0, gpu.stream>>>(rope, turning, units);
}

}  // namespace

void run_rope(const Gpu& gpu, const Rope& rope) {
  const bool is_wide = rope.head_dim % 4 == 0 && rope.pairs % 4 == 0;
  if (rope.interleaved) return is_wide ? run<4, true>(gpu, rope) : run<1, true>(gpu, rope);
  is_wide ? run<4, false>(gpu, rope) : run<1, false>(gpu, rope);
}

}  // namespace ingot::cuda
