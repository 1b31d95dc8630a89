// The product of linear_prefill.h with weights in blocks: exact integer dots of quantised rows, f32 sums.
//
// As in linear_prefill-inl.h, vectors run along the rows; here a lane holds 4 inputs of a row, and 4 weights
// are broadcast at a time, in the order in which they are stored. Weights are decoded once per pass over all
// rows, to bytes u whose offset or minimum is paid once per group of rows' inputs and not per product:
//
//   sum over k of (scale * (u[k] - offset) - min) * row_scale * x[k]
//     = scale * row_scale * (dot(u, x) - offset * sum(x)) - min * row_scale * sum(x)
//
// A row's f32 sum runs over the groups in order, in a lane of its own: rows do not see each other.
//
// Included once per Highway target, after linear_prefill-inl.h, whose tiles of sums and epilogues it shares.
#if defined(INGOT_CPU_BLOCK_PREFILL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_BLOCK_PREFILL_INL_H_
#undef INGOT_CPU_BLOCK_PREFILL_INL_H_
#else
#define INGOT_CPU_BLOCK_PREFILL_INL_H_
#endif

#include <hwy/highway.h>

#include "backend/cpu/kernels/decoded_blocks-inl.h"
#include "backend/cpu/kernels/int8_dot-inl.h"
#include "backend/cpu/kernels/linear_prefill-inl.h"
#include "backend/cpu/kernels/quantised_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Outputs of a register block: integer and f32 sums of kTileVectors vectors each.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr int kInt8Outputs = 6;
#else
constexpr int kInt8Outputs = 3;
#endif
static_assert(kOutputStep % kInt8Outputs == 0);

/// Four bytes in every lane.
HWY_INLINE VecU8 broadcast4(const uint8_t* from) {
#if HWY_TARGET == HWY_SCALAR
  return load_u8(from);
#else
  int32_t four;
  std::memcpy(&four, from, 4);
  return hn::BitCast(U8(), hn::Set(I32(), four));
#endif
}

/// What the products with decoded bytes depend on; several formats share each.
template <bool kHasDotOf, int kGroupOf, bool kHasMinsOf, bool kIsSignedOf, bool kHasOffsetOf>
struct Products {
  static constexpr bool kHasDot = kHasDotOf;
  static constexpr int kGroup = kGroupOf;
  static constexpr bool kHasMins = kHasMinsOf;
  static constexpr bool kIsSigned = kIsSignedOf;
  static constexpr bool kHasOffset = kHasOffsetOf;
};
template <class Format, bool kHasDot>
using ProductsOf =
    Products<kHasDot, Format::kGroup, Format::kHasMins, Format::kIsWide && kWideOffset<kHasDot> == 0,
             kStoredOffset<Format, kHasDot> != 0>;

template <class Kind>
HWY_INLINE VecI32 dot_decoded(VecI32 sum, VecU8 w, VecI8 x) {
  if constexpr (Kind::kIsSigned) {
    return dot_wide<Kind::kHasDot>(sum, as_signed(w), x);
  } else {
    return dot_narrow<Kind::kHasDot>(sum, w, x);
  }
}

/// kInt8Outputs x kVectors vectors of a tile's rows: sums[n * width + row] += the products over `groups`
/// groups of kQuantised inputs. values, parts: of the tile, from the pass's first input.
template <class Kind, int kVectors>
HWY_NOINLINE void multiply_groups(const float* values, const float* parts,
                                  const DecodedBlocks& weights, int64_t output, int offset, int64_t groups,
                                  bool first, float* sums) {
  constexpr int kHalves = static_cast<int>(kQuantised) / Kind::kGroup;
  constexpr int kWords = Kind::kGroup / 4;
  constexpr int64_t kMins = kSuper / Kind::kGroup;  // minimums after so many scales
  const F32 d;
  const I32 di;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t width = rows_of_tile();
  const uint8_t* bytes = weights.bytes + output * kBlockDepth;
  const float* scales = weights.scales + output * kPassScales;
  VecF32 acc[kInt8Outputs][kVectors];
  HWY_UNROLL(6)
  for (int n = 0; n < kInt8Outputs; ++n) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v)
      acc[n][v] = first ? hn::Zero(d) : hn::LoadU(d, sums + n * width + v * lanes);
  }
  for (int64_t g = 0; g < groups; ++g) {
    HWY_UNROLL(2)
    for (int h = 0; h < kHalves; ++h) {
      VecI32 dots[kInt8Outputs][kVectors];
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) {
        auto start = hn::Zero(di);
        if constexpr (Kind::kHasOffset) {
          const float* sum = parts + width + v * lanes;
          start = hn::BitCast(di, hn::LoadU(d, sum + h * width));
          if constexpr (kHalves == 1) start = hn::Add(start, hn::BitCast(di, hn::LoadU(d, sum + width)));
          start = hn::Mul(start, hn::Set(di, offset));
        }
        HWY_UNROLL(6)
        for (int n = 0; n < kInt8Outputs; ++n) dots[n][v] = start;
      }
      HWY_UNROLL(8)
      for (int k = 0; k < kWords; ++k) {
        const int word = h * kWords + k;
        VecI8 x[kVectors];
        HWY_UNROLL(4)
        for (int v = 0; v < kVectors; ++v) x[v] = load_i8(values + word * width + v * lanes);
        HWY_UNROLL(6)
        for (int n = 0; n < kInt8Outputs; ++n) {
          const VecU8 w = broadcast4(bytes + n * kBlockDepth + word * 4);
          HWY_UNROLL(4)
          for (int v = 0; v < kVectors; ++v) dots[n][v] = dot_decoded<Kind>(dots[n][v], w, x[v]);
        }
      }
      VecF32 row_scale[kVectors];
      VecF32 row_sum[kVectors];
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) {
        row_scale[v] = hn::LoadU(d, parts + v * lanes);
        if constexpr (Kind::kHasMins && kHalves == 1)
          row_sum[v] = hn::LoadU(d, parts + 3 * width + v * lanes);
        if constexpr (Kind::kHasMins && kHalves == 2) {
          const auto sum = hn::BitCast(di, hn::LoadU(d, parts + (1 + h) * width + v * lanes));
          row_sum[v] = hn::Mul(hn::ConvertTo(d, sum), row_scale[v]);
        }
      }
      HWY_UNROLL(6)
      for (int n = 0; n < kInt8Outputs; ++n) {
        const auto scale = hn::Set(d, scales[n * kPassScales + h]);
        HWY_UNROLL(4)
        for (int v = 0; v < kVectors; ++v)
          acc[n][v] = hn::MulAdd(hn::ConvertTo(d, dots[n][v]), hn::Mul(row_scale[v], scale), acc[n][v]);
        if constexpr (Kind::kHasMins) {
          const auto min = hn::Set(d, scales[n * kPassScales + kMins + h]);
          HWY_UNROLL(4)
          for (int v = 0; v < kVectors; ++v) acc[n][v] = hn::MulAdd(row_sum[v], min, acc[n][v]);
        }
      }
    }
    values += kQuantised / 4 * width;
    parts += kRowParts * width;
    bytes += kQuantised;
    scales += kHalves;
    if ((g + 1) * kQuantised % kSuper == 0) scales += kMins;
  }
  HWY_UNROLL(6)
  for (int n = 0; n < kInt8Outputs; ++n) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(acc[n][v], d, sums + n * width + v * lanes);
  }
}

/// What a format's products are made of.
struct BlockProducts {
  void (*decode)(const uint8_t* base, int64_t depth, uint8_t* bytes, float* scales);
  decltype(&multiply_groups<Products<false, 32, false, false, false>, 1>) multiply_tile;
  decltype(multiply_tile) multiply_half;  // of a tile whose other vectors are padding
  int offset;
  int64_t elements;  // of a block
  int64_t bytes;
};

template <class Block, bool kHasDot>
constexpr BlockProducts products_of_block() {
  using Kind = ProductsOf<BlockWeights<Block>, kHasDot>;
  return {.decode = &decode_blocks<Block, kHasDot>,
          .multiply_tile = &multiply_groups<Kind, kTileVectors>,
          .multiply_half = &multiply_groups<Kind, 1>,
          .offset = kStoredOffset<BlockWeights<Block>, kHasDot>,
          .elements = Block::kElements,
          .bytes = static_cast<int64_t>(sizeof(Block))};
}

/// Outputs first … first + count of a part, all rows: sums[tile][output][width], from output `at` on.
HWY_INLINE void multiply_blocks(const PrefillJob& job, const float* tiles, const PrefillPart& part,
                                int64_t first, int64_t count, int64_t at, const DecodedBlocks& decoded,
                                float* sums) {
  BlockProducts products = {};
  with_int8_dot([&](auto has_dot) HWY_ATTR {
    dtype::with_blocks(part.weight->dtype, part.weight->data,
                       [&]<class Block>(const Block* /*blocks*/)
                           HWY_ATTR { products = products_of_block<Block, has_dot>(); });
  });
  const int64_t width = rows_of_tile();
  const int64_t lanes = width / kTileVectors;
  const int64_t padded = padded_outputs(count);
  const auto* weights = part.weight->as<const uint8_t>();
  for (int64_t k0 = 0; k0 < job.in || k0 == 0; k0 += kBlockDepth) {
    const int64_t depth = std::min(kBlockDepth, job.in - k0);
    for (int64_t n = 0; n < count; ++n) {
      const int64_t element = (part.first_output + first + n) * job.in + k0;
      products.decode(weights + element / products.elements * products.bytes, depth,
                      decoded.bytes + n * kBlockDepth, decoded.scales + n * kPassScales);
    }
    for (int64_t n = count; n < padded; ++n) {
      std::fill_n(decoded.bytes + n * kBlockDepth, kBlockDepth, uint8_t{0});
      std::fill_n(decoded.scales + n * kPassScales, kPassScales, 0.0F);
    }
    for (int64_t row = 0; row < job.rows; row += width) {
      const float* tile = tiles + quantised_floats(row, job.in);
      const float* values = tile + k0 / 4 * width;
      const float* parts = tile + job.in / 4 * width + k0 / kQuantised * kRowParts * width;
      const auto multiply = job.rows - row <= lanes ? products.multiply_half : products.multiply_tile;
      for (int64_t n = 0; n < padded; n += kInt8Outputs) {
        multiply(values, parts, decoded, n, products.offset, depth / kQuantised, k0 == 0,
                 sums + row * kBlockOutputs + (at + n) * width);
      }
    }
  }
}

/// The same for a weight of single values, whose pass over the inputs is linear_prefill-inl.h's.
HWY_INLINE void multiply_values(const PrefillJob& job, const float* tiles, const PrefillPart& part,
                                int64_t first, int64_t count, int64_t at, float* decoded, float* sums) {
  const int64_t width = rows_of_tile();
  for (int64_t k0 = 0; k0 < job.in || k0 == 0; k0 += kDepth) {
    const int64_t depth = std::min(kDepth, job.in - k0);
    decode_weights(part, job.in, first, count, k0, depth, decoded);
    for (int64_t row = 0; row < job.rows; row += width) {
      for (int64_t n = 0; n < padded_outputs(count); n += kOutputs) {
        multiply<kTileVectors>(tiles + row * job.in + k0 * width, width, decoded + n * kDepth, depth, k0 == 0,
                               sums + row * kBlockOutputs + (at + n) * width);
      }
    }
  }
}

/// multiply_block() of linear_prefill-inl.h where the part's weight, or one of a gate's two, is in blocks.
/// value_tiles, block_tiles: the rows as either kind of weight wants them. scratch:
/// block_thread_floats(rows).
HWY_INLINE void multiply_coded_block(const PrefillJob& job, const float* value_tiles,
                                     const float* block_tiles, const PrefillPart& part, int64_t first,
                                     int64_t count, float* scratch) {
  const int64_t width = rows_of_tile();
  const int64_t padded = padded_outputs(count);
  const PrefillPart* segments = &part;  // gated parts follow each other
  float* sums = scratch + kDecodedFloats;
  HWY_ALIGN float bias_block[kBlockOutputs];
  for (int64_t s = 0; s < job.segments(); ++s) {
    const PrefillPart& segment = segments[s];
    if (segment.bias != nullptr) {
      for (int64_t n = 0; n < count; ++n)
        bias_block[s * padded + n] = segment.bias->at(segment.first_output + first + n);
    }
    if (!is_block_dtype(segment.weight->dtype)) {
      multiply_values(job, value_tiles, segment, first, count, s * padded, scratch, sums);
      continue;
    }
    const DecodedBlocks decoded(scratch);
    multiply_blocks(job, block_tiles, segment, first, count, s * padded, decoded, sums);
  }
  for (int64_t row = 0; row < job.rows; row += width)
    finish_tile(job, segments, first, count, sums + row * kBlockOutputs, bias_block, row);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_BLOCK_PREFILL_INL_H_
