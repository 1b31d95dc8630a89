// The rows of a prompt step as 8-bit integers, for products with weights in blocks.
//
// A row's inputs are quantised kQuantised at a time: scale = the largest magnitude / 127, values rounded to
// the nearest. As the f32 tiles of linear_prefill-inl.h, tiles of rows are transposed: a lane holds 4 inputs
// of a row. Beside the values stand the sums over them, which pay for the weights' offsets and minimums.
//
// Included once per Highway target, after linear_prefill-inl.h.
#if defined(INGOT_CPU_QUANTISED_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_QUANTISED_TILES_INL_H_
#undef INGOT_CPU_QUANTISED_TILES_INL_H_
#else
#define INGOT_CPU_QUANTISED_TILES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "backend/cpu/kernels/block_prefill.h"
#include "backend/cpu/kernels/int8_dot-inl.h"
#include "backend/cpu/kernels/linear_prefill-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// Inputs 0 … depth of a row as 8-bit integers; scales: one per kQuantised inputs.
HWY_INLINE void quantise_row(const float* x, int64_t depth, int8_t* values, float* scales) {
  const F32 d;
  const I32 di;
  const hn::Rebind<int8_t, F32> bytes;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits, ties to even, on every target.
  const auto magic = hn::Set(d, 0x1.8p23F);
  for (int64_t b = 0; b < depth; b += kQuantised) {
    // Magnitudes compare as their bits do, NaN above infinity: a NaN becomes the scale and thus the sum.
    auto most = hn::Zero(di);
    for (int64_t k = 0; k < kQuantised; k += lanes)
      most = hn::Max(most, hn::And(hn::BitCast(di, hn::LoadU(d, x + b + k)), hn::Set(di, 0x7fffffff)));
    const float amax = hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(di, most)));
    const bool is_zero = amax < 0x1p-100F;  // below, 127 / amax would be infinite
    scales[b / kQuantised] = is_zero ? 0 : amax / 127;
    const auto inverse = hn::Set(d, is_zero ? 0 : 127 / amax);
    for (int64_t k = 0; k < kQuantised; k += lanes) {
      const auto shifted = hn::Add(hn::Mul(hn::LoadU(d, x + b + k), inverse), magic);
      const auto q = hn::Sub(hn::BitCast(di, shifted), hn::BitCast(di, magic));
      hn::StoreU(hn::DemoteTo(bytes, q), bytes, values + b + k);
    }
  }
}

/// Tile `tile` of the quantised rows, for inputs begin … end, at most kBlockDepth. A tile's values lie as
/// [in / 4][width][4], its parts as [in / kQuantised][kRowParts][width]. Rows beyond the last are zero.
HWY_INLINE void quantise_tile(const PrefillJob& job, const RowScale* row_scales, int64_t tile, int64_t begin,
                              int64_t end, float* tiles) {
  const F32 d;
  const I32 di;
  const int64_t width = rows_of_tile();
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t depth = end - begin;
  const int64_t groups = depth / kQuantised;
  float* values = tiles + tile * quantised_floats(width, job.in);
  float* parts = values + job.in / 4 * width + begin / kQuantised * kRowParts * width;
  values += begin / 4 * width;
  HWY_ALIGN float normed[kBlockDepth];
  HWY_ALIGN float words[4 * kBlockDepth / 4];  // of 4 bytes each
  HWY_ALIGN float scales[4 * kBlockDepth / kQuantised];
  for (int64_t j = 0; j < width; j += 4) {
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t row = tile * width + j + i;
      float* to = words + i * (kBlockDepth / 4);
      float* scale = scales + i * (kBlockDepth / kQuantised);
      if (row >= job.rows) {
        std::fill_n(to, depth / 4, 0.0F);
        std::fill_n(scale, groups, 0.0F);
        continue;
      }
      const float* from = job.x + row * job.in;
      if (row + 4 < job.rows) {  // the machine does not see that the next rows follow
        for (int64_t k = begin; k < end; k += 16) __builtin_prefetch(from + 4 * job.in + k);
      }
      if (job.norm.kind != graph::NormPrologue::Kind::none) {
        norm_part(job, row_scales[row], from, begin, depth, normed);
        from = normed;
      } else {
        from += begin;
      }
      quantise_row(from, depth, reinterpret_cast<int8_t*>(to), scale);
    }
    transpose4(words, kBlockDepth / 4, depth / 4, values + j, width);
    transpose4(scales, kBlockDepth / kQuantised, groups, parts + j, kRowParts * width);
  }
  // The sums, along the rows: products with ones.
  uint8_t one_each[kByteLanes];
  std::fill_n(one_each, kByteLanes, uint8_t{1});
  const VecU8 ones = load_u8(one_each);
  for (int64_t b = 0; b < groups; ++b, parts += kRowParts * width) {
    for (int64_t v = 0; v < width; v += lanes) {
      VecI32 half[2];
      for (int h = 0; h < 2; ++h) {
        half[h] = hn::Zero(di);
        for (int k = 0; k < 4; ++k) {
          half[h] = dot_narrow<false>(half[h], ones, load_i8(values + (b * 8 + h * 4 + k) * width + v));
        }
        half[h] = hn::Neg(half[h]);
        hn::StoreU(hn::BitCast(d, half[h]), d, parts + (1 + h) * width + v);
      }
      const auto sum = hn::ConvertTo(d, hn::Add(half[0], half[1]));
      hn::StoreU(hn::Mul(sum, hn::LoadU(d, parts + v)), d, parts + 3 * width + v);
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_QUANTISED_TILES_INL_H_
