// What the cases of fused linears allow: the sums' rounding and the norm's before them.
#pragma once

#include <algorithm>
#include <cmath>

#include "graph/ops/norm_prologue.h"
#include "opcases/op_case.h"

namespace ingot::opcases {

/// Weights uniform in [-scale, scale) give outputs with a deviation near 1, where activations bend, at any
/// width.
inline double weight_scale(int64_t in) {
  return 3 / std::sqrt(static_cast<double>(std::max<int64_t>(in, 1)));
}

/// What kernels may be off by that multiply blocks with rows rounded to 8-bit integers, 32 values with one
/// scale, for uniform values in [-x_scale, x_scale) and weights in [-1, 1]: rounding to steps of x_scale /
/// 127 has a deviation of x_scale / 440, weights one of about 0.6; six deviations of the sum. Nothing for
/// single values, with which rows are multiplied as they are.
inline double activation_error(DType weight, int64_t in, double x_scale) {
  if (!is_block_dtype(weight)) return 0;
  return 6 * 0.6 * x_scale / 440 * std::sqrt(static_cast<double>(in));
}

/// What sums of `in` products are off by, for each unit of largest relative rounding u, when both operands
/// were rounded before: absolute. Rounding is off by up to u times the power of two below a number, evenly,
/// which deviates by at most u / sqrt(3) times the number's own deviation; so each product deviates by that
/// of its operands times u * sqrt(2 / 3). Six deviations of the sum.
inline double rounding_error(int64_t in, double x_deviation, double weight_deviation) {
  return 6 * std::sqrt(2.0 / 3 * static_cast<double>(in)) * x_deviation * weight_deviation;
}

/// Deviations of a uniform number in [-1, 1), and of weights, which blocks spread a little further.
inline constexpr double kUniformDeviation = 0.5774;
inline constexpr double kWeightDeviation = 0.6;

/// The same for a linear of weights within [-weight_scale(in), weight_scale(in)) and a uniform x or one that
/// the norm made: it deviates by 1, and by sqrt(2 / 3) once it is multiplied by a uniform weight and moved by
/// a uniform bias.
inline double linear_rounding_error(int64_t in, graph::NormPrologue::Kind norm) {
  const double x = norm == graph::NormPrologue::Kind::none ? kUniformDeviation : 0.8165;
  return rounding_error(in, x, kWeightDeviation * weight_scale(in));
}

/// How far a product of such a weight may be off: absolute.
inline double linear_error(int64_t in, graph::NormPrologue::Kind norm) {
  const double scale = weight_scale(in);
  // The sums, as in linear.cc; an input that layer_norm has normalised and moved is up to twice as large as
  // a uniform one. Then up to three roundings of numbers below 8.
  double error = 2 * scale * (static_cast<double>(in) + 2) * kEpsilon + 12 * kEpsilon;
  // The norm's own error (rms_norm.cc, layer_norm.cc) is one factor, or one term, of the whole row: it is
  // multiplied by a sum of `in` weights, of which sqrt(in) * scale is about five deviations.
  double of_norm = 0;
  if (norm == graph::NormPrologue::Kind::rms) of_norm = 12;
  if (norm == graph::NormPrologue::Kind::layer) of_norm = in < 8 ? 256 : 28;
  error += of_norm * kEpsilon * scale * std::sqrt(static_cast<double>(in));
  return error;
}

}  // namespace ingot::opcases
