// Keys and values that a step's queries see, brought to f16: one block for a part of a tile.
#include "backend/cuda/kernels/attention_f16.h"
#include "backend/cuda/kernels/attention_rows.cuh"
#include "backend/cuda/kernels/f16_rows.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/warpgroup_products.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 256;

struct RowScale {
  int exponent;  // of what the row is multiplied by
  bool is_usual;
};

template <class Usual>
__device__ RowScale scale_of(int largest) {
  const bool is_usual = largest == -127 || (Usual::kLowest <= largest && largest < Usual::kHighest);
  return {is_usual ? Usual::kScale : max(-60, min(60, 14 - largest)), is_usual};
}

/// grid: parts of each sequence and head.
template <int kHeadDim>
__global__ void __launch_bounds__(kThreads) make_part(const __grid_constant__ F16Pass pass) {
  using Tile = F16Tile<kHeadDim>;
  constexpr int kLanes = kHeadDim / 4;  // of a row
  constexpr int kRows = kThreads / kLanes;
  constexpr int kItems = kF16PartKeys / kRows;
  constexpr int kParts = kF16TileKeys / kF16PartKeys;
  wait_for_inputs();
  begin_next_kernel();  // which thus finds queries and step inputs there, if not yet the tiles
  const PagedAttention& a = pass.attention;
  if (threadIdx.x == 0 && blockIdx.x == 0) *pass.begun = 0;
  const int tile_of_all = static_cast<int>(blockIdx.x) / kParts;
  const int number = tile_of_all % pass.tiles_of_sequence;
  const int head = tile_of_all / pass.tiles_of_sequence % pass.heads;
  const int sequence = tile_of_all / pass.tiles_of_sequence / pass.heads;
  const int first = number * kF16TileKeys;
  const int context = a.context_len[sequence];
  const int rows = a.seq_start[sequence + 1] - a.seq_start[sequence];
  const int begin = first_key(a, context - rows);
  if (rows == 0 || first >= context || first + kF16TileKeys <= begin) return;

  const int32_t* pages = a.block_table + static_cast<int64_t>(sequence) * a.pages;
  char* tile = pass.tiles + int64_t{tile_of_all} * Tile::kBytes;
  const int part = static_cast<int>(blockIdx.x) % kParts;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int column = 4 * lane;
  const int panel = column / kPanelColumns * kF16TileKeys * kPanelRowBytes;
  const auto row_of = [&](int i) {
    return part * kF16PartKeys + i * kRows + static_cast<int>(threadIdx.x) / kLanes;
  };
  float4 keys[kItems];
  float4 values[kItems];
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int key = first + row_of(i);
    keys[i] = values[i] = {0, 0, 0, 0};
    if (begin <= key && key < context) {
      const int64_t offset = cache_offset(a, pages, pass.first_head + head, key) + column;
      keys[i] = *reinterpret_cast<const float4*>(a.keys + offset);
      values[i] = *reinterpret_cast<const float4*>(a.values + offset);
    }
  }
  bool all_usual = true;
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int row = row_of(i);
    const RowScale key = scale_of<UsualKeys>(largest_exponent<kLanes>(keys[i]));
    const RowScale value = scale_of<UsualValues>(largest_exponent<kLanes>(values[i]));
    const int place = panel + panel_place(row, column % kPanelColumns);
    *reinterpret_cast<uint2*>(tile + place) = scaled_halves(keys[i], power_of_2(key.exponent));
    *reinterpret_cast<uint2*>(tile + Tile::kValues + place) =
        scaled_halves(values[i], power_of_2(value.exponent));
    if (lane == 0) {
      reinterpret_cast<KeyScales*>(tile + Tile::kScales)[row] = {
          power_of_2(UsualKeys::kScale - key.exponent),
          static_cast<float>(UsualValues::kScale - value.exponent)};
    }
    all_usual = all_usual && key.is_usual && value.is_usual;
  }
  all_usual = __syncthreads_and(all_usual) != 0;
  if (threadIdx.x == 0) reinterpret_cast<int*>(tile + Tile::kIsUsual)[part] = all_usual ? 1 : 0;
}

}  // namespace

void run_f16_tiles(const Gpu& gpu, const F16Pass& pass) {
  const int64_t tiles = int64_t{pass.tiles_of_sequence} * pass.heads * pass.attention.sequences;
  launch_overlapped(
      gpu, pass.attention.head_dim == 64 ? make_part<64> : make_part<128>,
      {.blocks = static_cast<unsigned>(tiles * (kF16TileKeys / kF16PartKeys)), .threads = kThreads}, pass);
}

}  // namespace ingot::cuda
