#include "opcases/random_blocks.h"

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "dtype/formats.h"

namespace ingot::opcases {
namespace {

/// Where a format keeps the f16 scales of a block, and what they are for values within [-1, 1]: the largest
/// product is value * scale - min.
struct Scales {
  size_t scale_at = 0;
  double scale = 0;
  size_t min_at = 0;  // 0: no minimums
  double min = 0;
};

Scales scales_of(DType dtype) {
  switch (dtype) {
    case DType::q8_0:
      return {.scale_at = 0, .scale = 1.0 / 128};
    case DType::q4_0:
      return {.scale_at = 0, .scale = 1.0 / 8};
    case DType::q4_1:
      return {.scale_at = 0, .scale = 2.0 / 15, .min_at = 2, .min = -1};
    case DType::q5_0:
      return {.scale_at = 0, .scale = 1.0 / 16};
    case DType::q5_1:
      return {.scale_at = 0, .scale = 2.0 / 31, .min_at = 2, .min = -1};
    case DType::q2_k:
      return {.scale_at = 80, .scale = 1.0 / (15 * 3), .min_at = 82, .min = 1.0 / 15};
    case DType::q3_k:
      return {.scale_at = 108, .scale = 1.0 / (32 * 4)};
    case DType::q4_k:
      return {.scale_at = 0, .scale = 1.0 / (63 * 15), .min_at = 2, .min = 1.0 / 63};
    case DType::q5_k:
      return {.scale_at = 0, .scale = 1.0 / (63 * 31), .min_at = 2, .min = 1.0 / 63};
    case DType::q6_k:
      return {.scale_at = 208, .scale = 1.0 / (128 * 32)};
    case DType::iq4_nl:
      return {.scale_at = 0, .scale = 1.0 / 127};
    case DType::iq4_xs:
      return {.scale_at = 0, .scale = 1.0 / (32 * 127)};
    default:
      INGOT_CHECK(false, "no random blocks of type {}", to_string(dtype));
  }
}

}  // namespace

void random_blocks(DType dtype, std::span<std::byte> bytes, double scale,
                   const std::function<double()>& uniform) {
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(uniform() * 256);
  const auto size = static_cast<size_t>(block_of(dtype).bytes);
  for (size_t at = 0; at + size <= bytes.size(); at += size) {
    std::byte* block = bytes.data() + at;
    if (dtype == DType::mxfp4) {
      // The exponent's bias is 128 for values counted in halves, of which the largest is 12.
      int exponent = 0;
      std::frexp(scale / 12, &exponent);
      block[0] = static_cast<std::byte>(127 + exponent);
      continue;
    }
    const Scales of = scales_of(dtype);
    const auto put = [&](size_t offset, double value) {
      const dtype::F16 half = dtype::encode_f16(static_cast<float>(value));
      std::memcpy(block + offset, &half, sizeof(half));
    };
    const double size_of_block = scale * (0.5 + 0.5 * uniform());
    const bool has_min = of.min != 0;
    const double sign = !has_min && uniform() < 0.25 ? -1 : 1;  // a scale below zero is allowed, and rare
    put(of.scale_at, sign * of.scale * size_of_block);
    if (has_min) put(of.min_at, of.min * size_of_block);
  }
}

}  // namespace ingot::opcases
