// The products of few rows with a weight in a block format, read in place.
//
// Per 256 weights of an output: the bytes of the weights (block_weights-inl.h) times those of the activations
// (quantised_rows.h), summed within groups as integers; these times the product of both scales, added up in
// f32; and the minimums times the sums of the activations. The order of all additions is fixed by the input
// width alone. Rows share the unpacked bytes and scales.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/block_products.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <array>

#include "backend/cpu/kernels/block_products-inl.h"
#include "backend/cpu/kernels/block_weights-inl.h"
#include "backend/cpu/kernels/quantised_rows.h"
#include "backend/cpu/kernels/weights_ahead.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace {

// Running sums of an output, which hide the latency of a multiply-add, and rows at a time: as many as
// registers hold.
constexpr int kSums = 4;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr int kMostRows = 4;
#elif HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4
constexpr int kMostRows = 2;
#else
constexpr int kMostRows = 1;
#endif

template <int kGroup>
HWY_INLINE const float* activation_groups(const QuantisedBlock& x) {
  if constexpr (kGroup == 32) return x.groups32;
  return x.groups16;
}

#if HWY_TARGET != HWY_SCALAR
/// The scales of the groups that the lanes of bytes kAt … belong to.
template <int kGroup, int kAt>
HWY_INLINE VecF32 lane_scales(const GroupScales<kGroup>& scales) {
  constexpr int kFirst = kAt / kGroup;
  const VecF32 v = scales.v[kFirst / kF32Lanes];
  constexpr int kWithin = kFirst % kF32Lanes;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
  alignas(64) static constexpr auto kIndices = [] {
    std::array<int32_t, kF32Lanes> indices{};
    for (int i = 0; i < kF32Lanes; ++i) indices[static_cast<size_t>(i)] = kWithin + i * 4 / kGroup;
    return indices;
  }();
  return hn::TableLookupLanes(v, hn::SetTableIndices(F32(), kIndices.data()));
#else
  return hn::Broadcast<kWithin>(v);
#endif
}
#endif

/// The products of one output with kRows rows, before the lanes are summed.
template <class Block, int kRows, bool kHasDot>
class BlockDots {
  using Weights = BlockWeights<Block>;
  static constexpr int kGroup = Weights::kGroup;
  using Scales = GroupScales<kGroup>;
  // A group may take several vectors, and a vector may hold several groups.
  static constexpr int kStep = std::max(kGroup, kByteLanes);
  // Times the sum of its activations, a group's products are too large by this.
  static constexpr int kExcess = Weights::kHasMins  ? 1
                                 : Weights::kIsWide ? kWideOffset<kHasDot>
                                                    : Weights::kOffset;
  static constexpr int kMinVectors = std::max(1, Scales::kVectors / 2);

 public:
  HWY_INLINE BlockDots() {
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(4)
      for (int i = 0; i < kSums; ++i) sums_[r][i] = hn::Zero(F32());
      mins_[r] = hn::Zero(F32());
    }
  }

  /// Adds 256 weights at `base`; row r's activations are x[r * stride].
  HWY_INLINE void add(const uint8_t* base, const QuantisedBlock* x, int64_t stride) {
    const Scales of_weights = Weights::scales(base);
    Scales scales[kRows];
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      const float* of_row = activation_groups<kGroup>(x[r * stride]);
      HWY_UNROLL(8)
      for (int i = 0; i < Scales::kVectors; ++i)
        scales[r].v[i] = hn::Mul(of_weights.v[i], hn::LoadU(F32(), of_row + i * kF32Lanes));
      if constexpr (kExcess != 0) {
        HWY_UNROLL(8)
        for (int i = Scales::kVectors - kMinVectors; i < Scales::kVectors; ++i)
          mins_[r] = hn::Add(mins_[r], scales[r].v[i]);
      }
    }
#if HWY_TARGET == HWY_SCALAR
    groups(base, x, stride, scales);
#else
    steps<0>(base, x, stride, scales);
#endif
  }

  HWY_INLINE void totals(VecF32* totals) const {
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      static_assert(kSums == 4);
      totals[r] = hn::Add(hn::Add(sums_[r][0], sums_[r][2]), hn::Add(sums_[r][1], sums_[r][3]));
      if constexpr (kExcess != 0) {
        auto mins = mins_[r];
        // Where scales and minimums share a vector the minimums are its upper half.
        if constexpr (Scales::kVectors == 1) {
          mins = hn::IfThenZeroElse(hn::FirstN(F32(), static_cast<size_t>(kF32Lanes / 2)), mins);
        }
        totals[r] = hn::NegMulAdd(hn::Set(F32(), static_cast<float>(kExcess)), mins, totals[r]);
      }
    }
  }

 private:
#if HWY_TARGET == HWY_SCALAR
  /// Without vectors: a loop, which keeps the instances small.
  void groups(const uint8_t* base, const QuantisedBlock* x, int64_t stride, const Scales* scales) {
    uint8_t values[kSuper];
    store_values<Block>(base, values);
    for (int r = 0; r < kRows; ++r) {
      for (int g = 0; g < kSuper / kGroup; ++g) {
        const int8_t* of_row = x[r * stride].q + g * kGroup;
        int32_t dot = 0;
        for (int i = 0; i < kGroup; ++i) {
          const int value = values[g * kGroup + i];
          dot += (Weights::kIsWide ? static_cast<int8_t>(value) : value) * of_row[i];
        }
        VecF32& sum = sums_[r][g % kSums];
        sum = hn::MulAdd(hn::Set(F32(), static_cast<float>(dot)), scales[r].v[g], sum);
      }
    }
  }
#else
  template <int kAt>
  HWY_INLINE void steps(const uint8_t* base, const QuantisedBlock* x, int64_t stride, const Scales* scales) {
    if constexpr (kAt < kSuper) {
      VecI32 dots[kRows];
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) dots[r] = hn::Zero(I32());
      vectors<kAt, kAt + kStep>(base, x, stride, dots);
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        VecF32& sum = sums_[r][kAt / kStep % kSums];
        sum = hn::MulAdd(hn::ConvertTo(F32(), dots[r]), lane_scales<kGroup, kAt>(scales[r]), sum);
      }
      steps<kAt + kStep>(base, x, stride, scales);
    }
  }

  template <int kAt, int kEnd>
  HWY_INLINE void vectors(const uint8_t* base, const QuantisedBlock* x, int64_t stride, VecI32* dots) {
    if constexpr (kAt < kEnd) {
      const VecU8 w = Weights::template values<kAt>(base);
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        const VecI8 of_row = load_i8(x[r * stride].q + kAt);
        if constexpr (Weights::kIsWide) {
          dots[r] = dot_wide<kHasDot>(dots[r], as_signed(w), of_row);
        } else {
          dots[r] = dot_narrow<kHasDot>(dots[r], w, of_row);
        }
      }
      vectors<kAt + kByteLanes, kEnd>(base, x, stride, dots);
    }
  }
#endif

  VecF32 sums_[kRows][kSums];
  VecF32 mins_[kRows];
};

/// Rows x[r * stride …] times up to 4 outputs, `row_bytes` apart: out[r * out_stride + o] for o < count.
template <class Block, int kRows, bool kHasDot>
HWY_NOINLINE void block_dots(const QuantisedBlock* x, int64_t stride, int64_t in, const uint8_t* weight,
                             int64_t row_bytes, const uintptr_t* ahead, int64_t count, const float* bias,
                             float* out, int64_t out_stride) {
  constexpr int kBytes = kSuperBytes<Block>;
  VecF32 totals[4][kRows];
  for (int64_t o = 0; o < 4; ++o) {
    BlockDots<Block, kRows, kHasDot> dots;
    if (o < count) {
      const uint8_t* base = weight + o * row_bytes;
      int64_t block = 0;
      for (; (block + 1) * kSuper <= in; ++block, base += kBytes) {
        for (int line = 0; line < kBytes; line += 64)
          prefetch_far(address_of(base) + ahead[o] + static_cast<uintptr_t>(line));
        dots.add(base, x + block, stride);
      }
      if constexpr (Block::kElements < kSuper) {
        if (block * kSuper < in) {
          const PaddedWeights<Block> last(base, in - block * kSuper);
          dots.add(last.bytes, x + block, stride);
        }
      }
    }
    dots.totals(totals[o]);
  }
  for (int r = 0; r < kRows; ++r) {
    float sums[4];
    sum_lanes4(F32(), totals[0][r], totals[1][r], totals[2][r], totals[3][r], sums);
    for (int64_t o = 0; o < count; ++o) out[r * out_stride + o] = sums[o] + bias[o];
  }
}

template <class Block, bool kHasDot>
void products_of(const DecodeRows& x, const LinearPart& part, int64_t begin, int64_t end, float* out,
                 int64_t out_stride, const void* next) {
  const auto* weight = part.weight->as<const uint8_t>();
  const int64_t stride = quantised_blocks(x.in);
  const int64_t row_bytes = x.in / Block::kElements * static_cast<int64_t>(sizeof(Block));
  const void* stop = weight + end * row_bytes;
  for (int64_t n = begin; n < end; n += 4, out += 4) {
    // After the first rows the weight rows are in the first-level cache.
    const int64_t count = std::min<int64_t>(4, end - n);
    const uint8_t* rows_of_weight = weight + n * row_bytes;
    float biases[4] = {};
    uintptr_t ahead[4] = {};
    for (int64_t o = 0; o < count; ++o) {
      if (part.bias != nullptr) biases[o] = part.bias->at(n + o);
      ahead[o] = bytes_ahead(rows_of_weight + o * row_bytes, stop, next);
    }
    int64_t r = 0;
    const auto some = [&](auto rows) HWY_ATTR {
      constexpr int kRows = decltype(rows)::value;
      for (; r + kRows <= x.rows; r += kRows) {
        block_dots<Block, kRows, kHasDot>(x.quantised + r * stride, stride, x.in, rows_of_weight, row_bytes,
                                          ahead, count, biases, out + r * out_stride, out_stride);
      }
    };
    if constexpr (kMostRows == 4) some(std::integral_constant<int, 4>());
    if constexpr (kMostRows >= 2) some(std::integral_constant<int, 2>());
    some(std::integral_constant<int, 1>());
  }
}

}  // namespace

void block_products(const DecodeRows& x, const LinearPart& part, int64_t begin, int64_t end, float* out,
                    int64_t out_stride, const void* next) {
  dtype::with_blocks(part.weight->dtype, nullptr, [&]<class Block>(const Block*) HWY_ATTR {
    with_int8_dot([&](auto has_dot) HWY_ATTR {
      products_of<Block, decltype(has_dot)::value>(x, part, begin, end, out, out_stride, next);
    });
  });
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
