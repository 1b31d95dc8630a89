// How skinny linears cut up the outputs of all parts of a launch.
#pragma once

#include "backend/cuda/kernels/linear_epilogue.cuh"
#include "backend/cuda/kernels/linear_fragments.cuh"
#include "backend/cuda/kernels/linear_skinny.h"
#include "backend/cuda/kernels/linear_slices.cuh"
#include "backend/cuda/kernels/linear_usual.cuh"

namespace ingot::cuda {

struct SkinnyArguments {
  SkinnyLinear linear;
  int first_tile[kMostLinearParts + 1] = {};  // of each part; the last: how many there are
  int64_t pitch = 0;                          // of the prepared rows
  bool is_read_once = true;                   // the weights
};

/// Counts the tiles of `outputs` outputs each.
inline int count_tiles(SkinnyArguments& arguments, int outputs) {
  int tiles = 0;
  for (int i = 0; i < arguments.linear.part_count; ++i) {
    arguments.first_tile[i] = tiles;
    tiles += (arguments.linear.parts[i].outputs + outputs - 1) / outputs;
  }
  arguments.first_tile[arguments.linear.part_count] = tiles;
  return tiles;
}

/// At most `count` of the rows, from `first` on.
inline SkinnyArguments some_rows(const SkinnyArguments& all, int64_t first, int64_t count) {
  SkinnyArguments some = all;
  SkinnyLinear& linear = some.linear;
  linear.rows = all.linear.rows - first < count ? all.linear.rows - first : count;
  linear.x = static_cast<const char*>(linear.x) + first * all.pitch * 2;
  if (linear.row_scales != nullptr) linear.row_scales += first;
  for (int i = 0; i < linear.part_count; ++i) {
    SkinnyPart& part = linear.parts[i];
    part.out += first * part.outputs;
    if (part.out_bf16 != nullptr) part.out_bf16 += first * part.outputs;
  }
  const int64_t at = first * linear.parts[0].outputs;
  LinearEpilogue& epilogue = linear.epilogue;
  if (epilogue.residual != nullptr) epilogue.residual += at;
  if (epilogue.adds_rows) epilogue.add.data = static_cast<const float*>(epilogue.add.data) + at;
  return some;
}

struct Tile {
  int part;
  int first_output;
};
__device__ inline Tile tile_at(const SkinnyArguments& a, int tile, int outputs) {
  int part = 0;
  while (part + 1 < a.linear.part_count && tile >= a.first_tile[part + 1]) ++part;
  return {part, (tile - a.first_tile[part]) * outputs};
}

/// Where a lane's values of the eight weight rows `half` of a tile begin, at value k. Half by half, a tile of
/// a gated pair has rows of the first factor and of the second. Rows beyond the last are the last.
template <LinearEnd kEnd = LinearEnd::any>
__device__ inline const char* weights_of_half(const SkinnyArguments& a, const Tile& tile, int half,
                                              int64_t k) {
  const bool gated = is_gated<kEnd>(a.linear.epilogue);
  const SkinnyPart& part = a.linear.parts[tile.part];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int output = tile.first_output + (gated ? half / 2 : half) * kPieceRows + lane / 4;
  const int64_t row = min(output, part.outputs - 1);
  return static_cast<const char*>(gated && half % 2 != 0 ? part.up : part.weight) +
         (row * a.linear.in + k) * 2;
}

/// Writes an output, of place `at` in [rows, out], also rounded where that is wanted, and returns it.
__device__ inline float put_output(const SkinnyPart& part, int64_t at, float y) {
  part.out[at] = y;
  if (part.out_bf16 != nullptr) part.out_bf16[at] = __bfloat16_as_ushort(__float2bfloat16_rn(y));
  return y;
}

/// An output of a tile but for its residual; `up_sum`: the second factor's. `at`: of the output in [rows,
/// out].
__device__ inline float output_of_sums(const SkinnyArguments& a, const SkinnyPart& part, int64_t at, int n,
                                       float row_scale, float sum, float up_sum) {
  const float up = a.linear.epilogue.gated ? biased(up_sum, row_scale, part.up_bias, n) : 0;
  return before_residual(a.linear.epilogue, biased(sum, row_scale, part.bias, n), up, n, at);
}

/// Writes an output of a tile, and returns it.
__device__ inline float write_output(const SkinnyArguments& a, const Tile& tile, int output, int row,
                                     float row_scale, float sum, float up_sum) {
  const SkinnyPart& part = a.linear.parts[tile.part];
  const int n = tile.first_output + output;
  const int64_t at = row * static_cast<int64_t>(part.outputs) + n;
  float y = output_of_sums(a, part, at, n, row_scale, sum, up_sum);
  if (a.linear.epilogue.residual != nullptr) y = __fadd_rn(a.linear.epilogue.residual[at], y);
  return put_output(part, at, y);
}

/// The same of usual ends, with the residual, if there is one.
template <LinearEnd kEnd>
__device__ inline float write_usual_output(const SkinnyArguments& a, const Tile& tile, int output, int row,
                                           float sum, float up_sum, float residual) {
  const SkinnyPart& part = a.linear.parts[tile.part];
  const int64_t at = row * static_cast<int64_t>(part.outputs) + tile.first_output + output;
  float y = sum;
  if (kEnd == LinearEnd::gated_silu) y = __fmul_rn(activated(LinearActivation::silu, sum), up_sum);
  if (kEnd == LinearEnd::plain && a.linear.epilogue.residual != nullptr) y = __fadd_rn(residual, y);
  return put_output(part, at, y);
}

/// The same of one row, whose residual, if there is one, has been read.
template <LinearEnd kEnd = LinearEnd::any>
__device__ inline float write_row_output(const SkinnyArguments& a, const Tile& tile, int output,
                                         float row_scale, float sum, float up_sum, float residual) {
  if constexpr (kEnd != LinearEnd::any)
    return write_usual_output<kEnd>(a, tile, output, 0, sum, up_sum, residual);
  const SkinnyPart& part = a.linear.parts[tile.part];
  const int n = tile.first_output + output;
  float y = output_of_sums(a, part, n, n, row_scale, sum, up_sum);
  if (a.linear.epilogue.residual != nullptr) y = __fadd_rn(residual, y);
  return put_output(part, n, y);
}

}  // namespace ingot::cuda
