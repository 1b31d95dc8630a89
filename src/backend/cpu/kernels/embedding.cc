// embedding: rows of a table, decoded to f32.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/embedding.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

void embedding_row(const graph::Tensor& table, int64_t row, float* out, int64_t width) {
  const F32 d;
  with_weight(table, [&](const auto* data) HWY_ATTR {
    const auto* from = data + row * width;
    for_vectors(
        d, width, [&](int64_t i) HWY_ATTR { hn::StoreU(load_f32(d, from + i), d, out + i); },
        [&](int64_t i, size_t n) HWY_ATTR { store_tail(d, load_f32_tail(d, from + i, n), out + i, n); });
  });
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(embedding_row);

void launch_embedding(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& ids = launch.inputs[0];
  const graph::Tensor& table = launch.inputs[1];
  const int64_t width = table.shape[1];
  auto* out = launch.output.as<float>();
  parallel_items(pool_of(backend), ids.shape[0], width, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t row = ids.i32()[t];
      INGOT_CHECK(row >= 0 && row < table.shape[0], "embedding: id {} of a table of {} rows", row,
                  table.shape[0]);
      HWY_DYNAMIC_DISPATCH(embedding_row)(table, row, out + t * width, width);
    }
  });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
