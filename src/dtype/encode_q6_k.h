// Encodes q6_k. A group's scale is an integer multiple of the block's, so the multiples themselves are
// searched:
//
//  1. The block's scale follows from the largest magnitude (-128 is the largest multiple, -32 the largest
//  code).
//  2. Every group takes the multiple, of those about the one that just reaches its largest magnitude, whose
//     rounding errs least. The sign of a multiple makes that magnitude's code -32, the longer end.
//  3. The block's scale by least squares for the codes and multiples found, and 2 again, while that helps.
//
// Errors are weighted by x^2 + mean square of the group: see encode_q4_k.h. Host only; thread safe: no state.
#pragma once

#include "dtype/lanes.h"
#include "dtype/q6_k.h"
#include "dtype/range.h"

namespace ingot::dtype {

/// Chooses scales and codes for one block of values.
class Q6_K_Encoder {
 public:
  explicit Q6_K_Encoder(const float* values) {
    for (int g = 0; g < kGroups; ++g) {
      float* x = x_[g];
      for (int i = 0; i < Q6_K::kGroup; ++i) x[i] = within(values[g * Q6_K::kGroup + i], kLargest);
      Lanes squares{};
      for (int i = 0; i < Q6_K::kGroup; i += kLanes) squares += load(x + i) * load(x + i);
      const float mean = sum(squares) / Q6_K::kGroup;
      for (int i = 0; i < Q6_K::kGroup; ++i) {
        w_[g][i] = mean + x[i] * x[i];
        if (__builtin_fabsf(x[i]) > __builtin_fabsf(peak_[g])) peak_[g] = x[i];
      }
    }
  }

  void encode(Q6_K* block) const {
    float largest = 0;
    for (const float peak : peak_)
      largest = __builtin_fabsf(peak) > largest ? __builtin_fabsf(peak) : largest;
    Choice best = choose(scale_of_scales(largest > kNothing ? kRoom * largest / (kMost * kReach) : 0));
    for (int round = 0; round < kRounds; ++round) {
      const Choice refined = refit(best);
      if (!(refined.error < best.error)) break;
      best = refined;
    }
    write(best, block);
  }

 private:
  static constexpr int kGroups = Q6_K::kElements / Q6_K::kGroup;
  static constexpr float kMost = 127;  // the largest multiple of either sign
  static constexpr float kReach = 32;  // codes are -32 … 31
  static constexpr float kLargest = kMaxF16 * kMost * kReach;
  static constexpr float kNothing = 0x1p-40F;  // far below half of the least scale, 2^-24
  // The grids searched: from those that clip the peak by 2 codes to those that leave 4 unused. Wider ones
  // gain less than 0.3 % in error. The block's scale leaves its largest group, which matters most, room for
  // them.
  static constexpr float kClip = 0.95F;
  static constexpr float kSlack = 1.15F;
  static constexpr float kRoom = 1.1F;
  static constexpr int kRounds = 3;

  struct Choice {
    F16 d{};
    signed char scale[kGroups] = {};
    float error = 0;
  };

  static Lanes codes(Lanes x, float inverse) {
    return round(clamp(x * splat(inverse), splat(-kReach), splat(kReach - 1)));
  }
  float error(int group, float scale) const {
    const float inverse = scale != 0 ? 1 / scale : 0;
    Lanes total{};
    for (int i = 0; i < Q6_K::kGroup; i += kLanes) {
      const Lanes x = load(x_[group] + i);
      const Lanes off = splat(scale) * codes(x, inverse) - x;
      total += load(w_[group] + i) * off * off;
    }
    return sum(total);
  }
  Choice choose(F16 d) const;
  Choice refit(const Choice& choice) const;
  void write(const Choice& choice, Q6_K* block) const;

  float x_[kGroups][Q6_K::kGroup];
  float w_[kGroups][Q6_K::kGroup];
  float peak_[kGroups] = {};  // a group's value of the largest magnitude
};

inline Q6_K_Encoder::Choice Q6_K_Encoder::choose(F16 d) const {
  Choice choice{d};
  const float unit = decode(d);
  for (int g = 0; g < kGroups; ++g) {
    const float reaching = unit > 0 ? __builtin_fabsf(peak_[g]) / (kReach * unit) : 0;
    const int least = static_cast<int>(reaching * kClip);
    int most = static_cast<int>(reaching * kSlack) + 1;
    if (most > 127) most = 127;
    const int sign = peak_[g] > 0 ? -1 : 1;
    float best = -1;
    for (int multiple = least; multiple <= most; ++multiple) {
      const float found = error(g, unit * static_cast<float>(sign * multiple));
      if (best >= 0 && !(found < best)) continue;
      best = found;
      choice.scale[g] = static_cast<signed char>(sign * multiple);
    }
    choice.error += best;
  }
  return choice;
}

/// The block's scale by least squares for the codes and multiples of `choice`, and the multiples again.
inline Q6_K_Encoder::Choice Q6_K_Encoder::refit(const Choice& choice) const {
  float aa = 0, ax = 0;  // of a = multiple * code
  for (int g = 0; g < kGroups; ++g) {
    const auto multiple = static_cast<float>(choice.scale[g]);
    const float scale = decode(choice.d) * multiple;
    const float inverse = scale != 0 ? 1 / scale : 0;
    Lanes wqq{}, wqx{};
    for (int i = 0; i < Q6_K::kGroup; i += kLanes) {
      const Lanes x = load(x_[g] + i);
      const Lanes q = codes(x, inverse);
      wqq += load(w_[g] + i) * q * q;
      wqx += load(w_[g] + i) * q * x;
    }
    aa += multiple * multiple * sum(wqq);
    ax += multiple * sum(wqx);
  }
  return aa > 0 && ax > 0 ? choose(scale_of_scales(ax / aa)) : choice;
}

inline void Q6_K_Encoder::write(const Choice& choice, Q6_K* block) const {
  *block = {};
  block->d = choice.d;
  for (int g = 0; g < kGroups; ++g) {
    block->scales[g] = choice.scale[g];
    const float scale = decode(choice.d) * static_cast<float>(choice.scale[g]);
    const float inverse = scale != 0 ? 1 / scale : 0;
    for (int i = 0; i < Q6_K::kGroup; i += kLanes) {
      float q[kLanes];
      store(codes(load(x_[g] + i), inverse), q);
      for (int lane = 0; lane < kLanes; ++lane)
        pack_q6_k(g * Q6_K::kGroup + i + lane, static_cast<int>(q[lane]) + 32, block);
    }
  }
}

inline void encode(const float* values, Q6_K* block) {
  Q6_K_Encoder(values).encode(block);
}

}  // namespace ingot::dtype
