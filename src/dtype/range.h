// What encoders make of values and scales that their format does not reach.
#pragma once

#include "dtype/f16.h"

namespace ingot::dtype {

inline constexpr float kMaxF16 = 65504;

/// A value as encoders take it: NaN as 0, and beyond ±largest (infinities too) as ±largest, the format's
/// reach, so that one bad value never makes a block infinite or NaN. Callers that would refuse such values
/// look for them beforehand.
INGOT_HD inline float within(float value, float largest) {
  if (value > largest) return largest;
  if (value < -largest) return -largest;
  return value == value ? value : 0.0F;
}

/// 1 / scale; 0 for a scale so small that its inverse is infinite: f16 stores it as 0, and no code matters.
INGOT_HD inline float inverse_scale(float scale) {
  return __builtin_fabsf(scale) >= 0x1p-126F ? 1 / scale : 0;
}

/// The f16 of a scale of scales >= 0: finite, and rounded up rather than to 0 where there is anything to
/// scale (the groups' multiples then do the scaling).
INGOT_HD inline F16 scale_of_scales(float value) {
  if (value > kMaxF16) return encode_f16(kMaxF16);
  const F16 rounded = encode_f16(value);
  return value > 0 && rounded.bits == 0 ? F16{1} : rounded;
}

}  // namespace ingot::dtype
