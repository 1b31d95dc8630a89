// An instruction's linears: warps 0 … kSlices - 1 multiply, each its slice of K of every tile; two more
// finish the tiles in turn, so that nobody who multiplies waits for what follows the products.
#pragma once

#include "backend/cuda/kernels/linear_epilogue.cuh"
#include "backend/cuda/kernels/step_rows.cuh"
#include "backend/cuda/kernels/step_weights.cuh"

namespace ingot::cuda {

inline constexpr int kFinishers = 2;  // warps; as many sets of partial sums
inline constexpr int kHelpers = 4;    // warps beside those that multiply; the first ones finish tiles
inline constexpr int kStepThreads = (kSlices + kHelpers) * kWarp;
inline constexpr int kTileThreads = (kSlices + 1) * kWarp;  // that meet at the barriers of a set
inline constexpr int kSliceSums = 4 * kWarp;                // floats of a slice's m16n8 sums
inline constexpr int kSetBytes = kSlices * kSliceSums * 4;

/// Tiles that the block has multiplied so far: set and finisher of the next one follow from it.
struct TileTurn {
  uint32_t turn = 0;
  __device__ int set() const { return static_cast<int>(turn % kFinishers); }
  /// Whether the set had sums before.
  __device__ bool is_reused() const { return turn >= kFinishers; }
};

template <DType kType>
__device__ inline void multiply_slot(float (&sums)[4], uint32_t slot, uint32_t inputs, bool is_tall, int steps) {
  const uint4 nothing = {0, 0, 0, 0};
  uint4 pieces[kSlotPieces];
#pragma unroll
  for (int i = 0; i < kSlotPieces; ++i) pieces[i] = load_piece(slot + static_cast<uint32_t>(i * kPieceBytes));
  multiply_pieces<kType>(sums, pieces[0], is_tall ? pieces[2] : nothing, load_piece(inputs));
  if (steps == 1) return;
  multiply_pieces<kType>(sums, pieces[1], is_tall ? pieces[3] : nothing, load_piece(inputs + kStep * 2));
  if (is_tall || steps == 2) return;
  multiply_pieces<kType>(sums, pieces[2], nothing, load_piece(inputs + 2 * kStep * 2));
  if (steps == 3) return;
  multiply_pieces<kType>(sums, pieces[3], nothing, load_piece(inputs + 3 * kStep * 2));
}

/// The sums of all of the block's tiles, a warp's slice of each.
template <DType kType>
__device__ inline void multiply_tiles(const StepLinear& linear, WeightStream& stream, const char* rows,
                                      float* sets, int warp, TileTurn& turn) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Slice slice = slice_of(linear.in, warp);
  const bool is_tall = linear.halves == 2;
  const int tiles = linear.tiles;
  const int of_slot = slot_steps(is_tall);
  const int row = min(lane / 4, linear.rows - 1);
  const uint32_t inputs = shared_address(rows + row * step_row_stride(linear.in) +
                                         (slice.begin * kStep + lane % 4 * 8) * 2);
#pragma unroll 1
  for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
    float sums[4] = {};
    uint32_t input = inputs;
#pragma unroll 1
    for (int left = slice.steps; left > 0; left -= of_slot) {
      const uint32_t slot = stream.take();
      multiply_slot<kType>(sums, slot, input, is_tall, left);
      input += static_cast<uint32_t>(of_slot) * (kStep * 2);
      stream.give_back();
    }
    const int set = turn.set();
    if (turn.is_reused()) sync_threads_of(kEmptyBarrier + set, kTileThreads);
    reinterpret_cast<float4*>(sets + set * (kSetBytes / 4))[warp * kWarp + lane] = {sums[0], sums[1], sums[2],
                                                                                    sums[3]};
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

/// The outputs of the block's tiles whose turn is this finisher's.
__device__ inline void finish_tiles(const StepLinear& linear, const float* scales, const float* sets,
                                    int finisher, TileTurn& turn) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const LinearEpilogue& epilogue = linear.epilogue;
  const int shift = tile_shift(linear);
  const int items = linear.rows << shift;
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
      y = activated(epilogue.activation, y);
      if (epilogue.gated) y = __fmul_rn(y, biased_with(total(1), part.up_bias, of.up_bias));
      if (epilogue.residual != nullptr) y = __fadd_rn(of.residual, y);
      part.out[static_cast<int64_t>(row) * part.outputs + n] = y;
    }
    arrive_at(kEmptyBarrier + set, kTileThreads);
  }
}

}  // namespace ingot::cuda
