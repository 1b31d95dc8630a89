// The row that a kernel of block_row.cuh multiplies: normalised and rounded to integers with the bits of
// activation_rows.cuh, each chunk by the warp that multiplies it, into shared memory.
#pragma once

#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/block_row_stage.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/team_barriers.cuh"

namespace ingot::cuda {

/// Eight of 32 values rounded to integers: as_int8() with half the lanes, and so half the divisions.
struct Int8Eight {
  uint2 values;
  float scale;
  float sum;
};
/// Of the block of 32 values that four neighbouring lanes hold, eight each. All lanes of a warp call it.
__device__ inline Int8Eight as_int8(const float4 (&y)[2]) {
  const float x[8] = {y[0].x, y[0].y, y[0].z, y[0].w, y[1].x, y[1].y, y[1].z, y[1].w};
  unsigned bits = 0;
#pragma unroll
  for (const float value : x) bits = max(bits, __float_as_uint(value) & 0x7fffffffU);
  for (int lanes = 2; lanes > 0; lanes /= 2) bits = max(bits, __shfl_xor_sync(0xffffffffU, bits, lanes));
  const float largest = __uint_as_float(bits);
  const bool is_zero = largest < 0x1p-100F;
  const float scale = (is_zero ? 0.0F : __fdiv_rn(largest, 127.0F)) + largest * 0;
  const float inverse = is_zero ? 0.0F : __fdiv_rn(127.0F, largest);
  // Added to 1.5 * 2^23, a float's last byte is the nearest integer (ties to even).
  unsigned rounded[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) rounded[i] = __float_as_uint(__fadd_rn(__fmul_rn(x[i], inverse), 12582912.0F));
  const auto packed = [&](int i) {
    return pick_bytes(pick_bytes(rounded[i], rounded[i + 1], 0x0040),
                      pick_bytes(rounded[i + 2], rounded[i + 3], 0x0040), 0x5410);
  };
  const uint2 values = {packed(0), packed(4)};
  int sum = __dp4a(static_cast<int>(values.x), 0x01010101, __dp4a(static_cast<int>(values.y), 0x01010101, 0));
  for (int lanes = 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, lanes);
  return {values, scale, scale * static_cast<float>(sum)};
}

/// What precedes the products.
enum class RowNorm : uint8_t { none, rms, any };
/// Values of a row that threads keep while they normalise it.
inline constexpr int kKeptOfBlockRow = 2;
inline RowNorm row_norm_of(const RowPreparation& p) {
  if (p.norm == LinearNorm::none) return RowNorm::none;
  return p.norm == LinearNorm::rms && p.in <= kKeptOfBlockRow * kRowStep ? RowNorm::rms : RowNorm::any;
}

/// The barrier of the threads that prepare the row.
inline constexpr int kRowBarrier = 1;
__device__ inline void wait_for_row_warps() {
  wait_for_team(kRowBarrier, kRowWarps * kWarp);
}

/// The scale of the row's norm, of any kind: reduce_rows() by the threads that prepare.
__device__ inline RowScale scale_of_whole_row(const RowPreparation& p, RowPartials& partials) {
  if (p.norm == LinearNorm::none) return {};
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const bool is_first_lane = threadIdx.x % kWarp == 0;
  const auto each = [&](const auto& f) {
    for_fours(p.in, [&](int64_t i) { f(i, load_row<true>(p.x, i, p.in)); });
  };
  const float sum = first_sum_of_row(p, each);
  if (is_first_lane) partials.sums[0][warp] = sum;
  wait_for_row_warps();
  if (p.norm == LinearNorm::layer) {
    const float center = sum_of_partials(partials.sums[0]) / static_cast<float>(p.in);
    const float2 sums = second_sums_of_row(p, center, each);
    if (is_first_lane) {
      partials.offsets[0][warp] = sums.x;
      partials.squares[0][warp] = sums.y;
    }
    wait_for_row_warps();
  }
  return scale_of_row(p, 0, partials);
}

/// A warp's chunks of the row: number `first`, and each so many after it.
struct OwnChunks {
  int first;
  int step;
  int count;
  int slot;  // of the first; the others' follow
};

/// Rounds a warp's chunks. `read(at, y)`: values at … at + 7, normalised. kAhead: eights of values that a
/// lane asks for before it uses them.
template <class Blocks, int kAhead, class Read>
__device__ void round_chunks(const BlockRow<Blocks>& row, const OwnChunks& own, const Read& read) {
  using Shape = StageShape<Blocks>;
  constexpr int kEights = Shape::kValues / 8;  // of a chunk
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int begin = 0; begin < own.count * kEights; begin += kAhead * kWarp) {
    float4 y[kAhead][2];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int eight = begin + i * kWarp + lane;
      const int chunk = eight / kEights;
      y[i][0] = y[i][1] = {0, 0, 0, 0};
      if (chunk < own.count)
        read((own.first + chunk * own.step) * Shape::kValues + eight % kEights * 8, y[i]);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (i > 0 && begin + i * kWarp >= own.count * kEights) break;
      const int eight = begin + i * kWarp + lane;
      const Int8Eight rounded = as_int8(y[i]);
      if (eight >= own.count * kEights) continue;
      const int at = own.slot * Shape::kValues + eight * 8;
      OneRowBlocks<Blocks>::put_values(row.values + own.slot * BlockRow<Blocks>::kValueBytes, eight * 8,
                                       rounded.values);
      if (eight % (kGroup / 8) == 0)
        OneRowBlocks<Blocks>::put(row.scales, row.sums, at / kGroup, rounded.scale, rounded.sum);
    }
  }
}

/// Waits for the row and prepares this warp's chunks of it. By the warps that multiply. `read`: called
/// when the row, or most of it, has been read.
template <class Blocks, RowNorm kNorm, class Read>
__device__ void prepare_chunks(const RowPreparation& from, const BlockRow<Blocks>& row, const OwnChunks& own,
                               RowPartials& partials, const Read& read) {
  RowPreparation p = from;
  if constexpr (kNorm == RowNorm::none) p.norm = LinearNorm::none;
  if constexpr (kNorm == RowNorm::rms) p.norm = LinearNorm::rms;
  const auto load_two = [&](int at, float4(&y)[2]) {
    y[0] = *reinterpret_cast<const float4*>(p.x + at);
    y[1] = *reinterpret_cast<const float4*>(p.x + at + 4);
  };
  if constexpr (kNorm == RowNorm::none) {
    wait_for_inputs();
    round_chunks<Blocks, 4>(row, own, load_two);
    read();
  } else if constexpr (kNorm == RowNorm::rms) {
    // A warp's chunks are no more values than eight of each lane.
    constexpr int kEights = StageShape<Blocks>::kValues / 8;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int chunk = lane / kEights;
    const bool is_own = chunk < own.count;
    const int at = (own.first + chunk * own.step) * StageShape<Blocks>::kValues + lane % kEights * 8;
    float4 weights[2] = {};
    if (is_own) {
      weights[0] = norm_weights<true>(p, at);
      weights[1] = norm_weights<true>(p, at + 4);
    }
    const bool is_power = (p.in & (p.in - 1)) == 0;
    const float part = __frcp_rn(static_cast<float>(p.in));
    wait_for_inputs();
    KeptRow<kKeptOfBlockRow> kept;
    kept.load(p, p.x);
    float4 x[2] = {};
    if (is_own) load_two(at, x);
    const float sum = first_sum_of_row(p, [&](const auto& f) {
#pragma unroll
      for (int i = 0; i < kKeptOfBlockRow; ++i) f(kept.at(i), kept.y[i]);
    });
    if (lane == 0) partials.sums[0][threadIdx.x / kWarp] = sum;
    wait_for_row_warps();
    read();
    const float squares = sum_of_partials(partials.sums[0]);
    // Of powers of two the same quotient, sooner.
    const float variance = is_power ? __fmul_rn(squares, part) : __fdiv_rn(squares, static_cast<float>(p.in));
    const float scale = scale_of(variance, p.eps);
    round_chunks<Blocks, 1>(row, own, [&](int, float4(&y)[2]) {
#pragma unroll
      for (int i = 0; i < 2; ++i) y[i] = rms_normalised(x[i], scale, weights[i]);
    });
  } else {
    wait_for_inputs();
    const RowScale scale = scale_of_whole_row(p, partials);
    round_chunks<Blocks, 1>(row, own, [&](int at, float4(&y)[2]) {
      y[0] = normalised_four<true>(p, p.x, at, scale);
      y[1] = normalised_four<true>(p, p.x, at + 4, scale);
    });
    read();
  }
  __syncwarp();
}

}  // namespace ingot::cuda
