// Four floats at a time, for the encoders' searches: the vector types of GCC and Clang, which become the
// vector instructions of whatever machine is compiled for. The order of every sum is written out, so every
// machine chooses the same codes. Host only.
#pragma once

namespace ingot::dtype {

inline constexpr int kLanes = 4;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

inline Lanes load(const float* from) {
  Lanes lanes;
  __builtin_memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

inline void store(Lanes lanes, float* to) {
  __builtin_memcpy(to, &lanes, sizeof(lanes));
}

inline Lanes splat(float value) {
  return Lanes{value, value, value, value};
}

inline Lanes clamp(Lanes lanes, Lanes least, Lanes most) {
  lanes = lanes < least ? least : lanes;
  return lanes > most ? most : lanes;
}

/// To the nearest integer, ties to even, for magnitudes up to 2^22: where adding 1.5 x 2^23 leaves no bit for
/// a fraction.
inline Lanes round(Lanes lanes) {
  return (lanes + splat(0x1.8p23F)) - splat(0x1.8p23F);
}

inline float sum(Lanes lanes) {
  return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

}  // namespace ingot::dtype
