// embedding: rows of a table, decoded to f32.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/embedding.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/block_weights-inl.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

namespace {

/// The first `width` of 256 weights, a multiple of 32, as dtype::decode() has them, bit for bit: one product
/// with the scale, then the minimum is subtracted.
template <class Block>
HWY_INLINE void decode_super(const uint8_t* base, float* out, int width) {
  using Weights = BlockWeights<Block>;
  constexpr int kGroup = Weights::kGroup;
  HWY_ALIGN uint8_t values[kSuper];
  HWY_ALIGN float groups[2 * GroupScales<kGroup>::kGroups];
  store_values<Block>(base, values);
  const auto scales = Weights::scales(base);
  scales.store(groups);
  const F32 d;
  const I32 d32;
  const hn::Rebind<uint8_t, F32> unsigned_d;
  const hn::Rebind<int8_t, F32> signed_d;
  for (int k = 0; k < width; k += kF32Lanes) {
    auto number = hn::PromoteTo(d32, hn::Load(unsigned_d, values + k));
    if constexpr (Weights::kIsWide) {
      number = hn::PromoteTo(d32, hn::BitCast(signed_d, hn::Load(unsigned_d, values + k)));
    }
    number = hn::Sub(number, hn::Set(d32, Weights::kOffset));
    const int group = k / kGroup;
    auto value = hn::Mul(hn::Set(d, groups[group]), hn::ConvertTo(d, number));
    if constexpr (Weights::kHasMins)
      value = hn::Sub(value, hn::Set(d, groups[GroupScales<kGroup>::kGroups + group]));
    hn::StoreU(value, d, out + k);
  }
}

template <class Block>
void decode_row(const uint8_t* blocks, float* out, int64_t width) {
  int64_t k = 0;
  for (; k + kSuper <= width; k += kSuper, blocks += kSuperBytes<Block>)
    decode_super<Block>(blocks, out + k, kSuper);
  if (k == width) return;
  const PaddedWeights<Block> last(blocks, width - k);
  decode_super<Block>(last.bytes, out + k, static_cast<int>(width - k));
}

}  // namespace

void embedding_row(const graph::Tensor& table, int64_t row, float* out, int64_t width) {
  const bool is_blocks = dtype::with_blocks(table.dtype, table.data, [&]<class Block>(const Block*) HWY_ATTR {
    decode_row<Block>(table.as<const uint8_t>() + row * dtype_bytes(table.dtype, width), out, width);
  });
  if (is_blocks) return;
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
