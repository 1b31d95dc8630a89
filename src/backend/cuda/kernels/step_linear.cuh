// An instruction's linears: warps 0 … kSlices - 1 multiply, each its slice of K of every tile; two more
// finish the tiles in turn, so that nobody who multiplies waits for what follows the products.
#pragma once

#include "backend/cuda/kernels/linear_epilogue.cuh"
#include "backend/cuda/kernels/step_rows.cuh"
#include "backend/cuda/kernels/step_weights.cuh"

namespace ingot::cuda {

inline constexpr int kFinishers = 2;  // warps; as many sets of partial sums
inline constexpr int kStepThreads = (kProductWarps + kFinishers) * kWarp;
inline constexpr int kTileThreads = (kProductWarps + 1) * kWarp;  // that meet at the barriers of a set
inline constexpr int kSliceSums = 4 * kWarp;                      // floats of a slice's m16n8 sums
inline constexpr int kSetBytes = kSlices * kSliceSums * 4;

/// Tiles that the block has multiplied so far: set and finisher of the next one follow from it.
struct TileTurn {
  uint32_t turn = 0;
  __device__ int set() const { return static_cast<int>(turn % kFinishers); }
  /// Whether the set had sums before.
  __device__ bool is_reused() const { return turn >= kFinishers; }
};

// One copy of the code for all kinds of tiles: a step runs through every instruction of it once a layer, and
// what does not fit the instruction cache is fetched again and again.

/// Adds `steps` steps of k; `low`: this lane's values of the first one of rows 0 … 7; `high`: of rows 8 … 15,
/// of tall tiles.
__device__ __forceinline__ void multiply_steps(float (&sums)[4], uint32_t low, uint32_t high, uint32_t inputs,
                                               int steps, bool is_tall, bool is_f16) {
#pragma unroll 4
  for (int step = 0; step < steps; ++step) {
    const uint4 first = load_piece(low);
    uint4 second = {0, 0, 0, 0};
    if (is_tall) second = load_piece(high);
    const uint4 input = load_piece(inputs);
    if (is_f16) {
      multiply_pieces<DType::f16>(sums, first, second, input);
    } else {
      multiply_pieces<DType::bf16>(sums, first, second, input);
    }
    low += kStep * 2;
    high += kStep * 2;
    inputs += kStep * 2;
  }
}

/// The sums of all of the block's tiles, a warp's slices of each.
__device__ __forceinline__ void multiply_tiles(const StepLinear& linear, WeightStream& stream,
                                               const char* rows, float* sets, int warp, TileTurn& turn) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const SlicePair slices = slices_of(linear.in, warp);
  const bool is_tall = linear.halves == 2;
  const bool is_f16 = linear.dtype == DType::f16;
  const int tiles = linear.tiles;
  const int steps = slices.steps();
  const int values = part_values(linear);
  const int part_steps = values / kStep;
  const auto part_bytes = static_cast<uint32_t>(kPieceRows * values * 2);
  const int row = min(lane / 4, linear.rows - 1);
  const uint32_t inputs =
      shared_address(rows + row * step_row_stride(linear.in) + (slices.begin * kStep + lane % 4 * 8) * 2);
  const auto own = static_cast<uint32_t>(lane / 4 * values * 2 + lane % 4 * 16);
#pragma unroll 1
  for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
    float first[4] = {};
    float second[4] = {};
    uint32_t part = 0;  // of the slot, of small tiles
#pragma unroll 1
    for (int step = 0; step < steps;) {
      const uint32_t slot = (part == 0 ? stream.take() : stream.taken()) + own + part;
      const uint32_t input = inputs + static_cast<uint32_t>(step) * (kStep * 2);
      const int end = min(steps - step, part_steps);
      const int of_first = max(0, min(slices.first - step, end));
      multiply_steps(first, slot, slot + part_bytes, input, of_first, is_tall, is_f16);
      const auto skip = static_cast<uint32_t>(of_first) * (kStep * 2);
      multiply_steps(second, slot + skip, slot + part_bytes + skip, input + skip, end - of_first, is_tall,
                     is_f16);
      step += part_steps;
      if (!is_tall && part == 0 && step < steps) {
        part = part_bytes;
        continue;
      }
      part = 0;
      stream.give_back();
    }
    const int set = turn.set();
    if (turn.is_reused()) sync_threads_of(kEmptyBarrier + set, kTileThreads);
    auto* to = reinterpret_cast<float4*>(sets + set * (kSetBytes / 4)) + kWarpSlices * warp * kWarp + lane;
    to[0] = {first[0], first[1], first[2], first[3]};
    to[kWarp] = {second[0], second[1], second[2], second[3]};
    arrive_at(kFullBarrier + set, kTileThreads);
    ++turn.turn;
  }
}

/// What an output needs beside its sums, read before they are there.
struct OutputOperands {
  float bias = 0;
  float up_bias = 0;
  float add = 0;
  float residual = 0;
};

__device__ __noinline__ float activated_value(LinearActivation activation, float x) {
  return activated(activation, x);
}

/// The outputs of the block's tiles whose turn is this finisher's.
__device__ __forceinline__ void finish_tiles(const StepLinear& linear, const float* scales, const float* sets,
                                             int finisher, TileTurn& turn) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const LinearEpilogue& epilogue = linear.epilogue;
  const int shift = tile_shift(linear);
  const int items = linear.rows << shift;
#pragma unroll 1
  for (TileWalk walk(linear); !walk.is_done(linear); walk.next(linear), ++turn.turn) {
    const int set = turn.set();
    if (set != finisher) continue;
    const StepPart& part = linear.parts[walk.part()];
    const int first_output = walk.first_output(linear);
    const float* sums = sets + set * (kSetBytes / 4);
    const auto output_of = [&](int item) {
      const int n = first_output + (item & ((1 << shift) - 1));
      return n < part.outputs && item < items ? n : -1;
    };
    const auto read = [&](int item) {
      OutputOperands of;
      const int n = output_of(item);
      if (n < 0) return of;
      const int64_t at = static_cast<int64_t>(item >> shift) * part.outputs + n;
      if (part.bias.data != nullptr) of.bias = load_float(part.bias, n);
      if (part.up_bias.data != nullptr) of.up_bias = load_float(part.up_bias, n);
      if (epilogue.add.data != nullptr) of.add = load_float(epilogue.add, epilogue.adds_rows ? at : n);
      if (epilogue.residual != nullptr) of.residual = __ldcg(epilogue.residual + at);
      return of;
    };
    OutputOperands next = read(lane);
    sync_threads_of(kFullBarrier + set, kTileThreads);
#pragma unroll 1
    for (int item = lane; item < items; item += kWarp) {
      const OutputOperands of = next;
      if (item + kWarp < items) next = read(item + kWarp);
      const int n = output_of(item);
      if (n < 0) continue;
      const int output = item & ((1 << shift) - 1);
      const int row = item >> shift;
      const auto total = [&](int half) {
        const int at = ((output & 7) * 4 + row / 2) * 4 + half * 2 + row % 2;
        return sum_of_slices(sums + at, kSliceSums);
      };
      const auto biased_with = [&](float sum, const FloatRow& bias, float value) {
        const float y = __fmul_rn(sum, scales[row]);
        return bias.data == nullptr ? y : __fadd_rn(y, value);
      };
      float y = biased_with(total(epilogue.gated ? 0 : output >> 3), part.bias, of.bias);
      if (epilogue.add.data != nullptr) y = __fadd_rn(y, of.add);
      if (epilogue.activation != LinearActivation::none) y = activated_value(epilogue.activation, y);
      if (epilogue.gated) y = __fmul_rn(y, biased_with(total(1), part.up_bias, of.up_bias));
      if (epilogue.residual != nullptr) y = __fadd_rn(of.residual, y);
      part.out[static_cast<int64_t>(row) * part.outputs + n] = y;
    }
    arrive_at(kEmptyBarrier + set, kTileThreads);
  }
}

}  // namespace ingot::cuda
