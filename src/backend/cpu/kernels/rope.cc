// rope: rotates pairs of dimensions by the angles of the step's table.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/rope.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/rope_rows-inl.h"
#include "backend/cpu/kernels/simd.h"
#include "graph/ops/rope.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

void rope_half(const float* x, const float* cosine, const float* sine, float* out, int64_t pairs) {
  rope_half_head(x, cosine, sine, out, pairs);
}
void rope_interleaved(const float* x, const float* cosine, const float* sine, float* out, int64_t pairs) {
  rope_interleaved_head(x, cosine, sine, out, pairs);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(rope_half);
HWY_EXPORT(rope_interleaved);

void launch_rope(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& x = launch.inputs[0];
  const graph::Tensor& out = launch.output;
  const int64_t heads = x.shape[1];
  const int64_t head_dim = x.shape[2];
  const int64_t pairs = launch.inputs[1].shape[1] / 2;
  const bool half = static_cast<const graph::RopeOp&>(*launch.op).style() == graph::RopeStyle::half;
  const auto rotate = half ? HWY_DYNAMIC_DISPATCH(rope_half) : HWY_DYNAMIC_DISPATCH(rope_interleaved);
  parallel_items(pool_of(backend), x.shape[0], heads * head_dim, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* cosine = launch.inputs[1].f32() + t * 2 * pairs;
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t offset = (t * heads + h) * head_dim;
        rotate(x.f32() + offset, cosine, cosine + pairs, out.as<float>() + offset, pairs);
        if (x.data != out.data && 2 * pairs < head_dim) {
          std::memcpy(out.as<float>() + offset + 2 * pairs, x.f32() + offset + 2 * pairs,
                      static_cast<size_t>(head_dim - 2 * pairs) * sizeof(float));
        }
      }
    }
  });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
