// A block of 16 warps computes tiles of a few outputs for up to 16 rows; each warp has its run of K, the same
// in every tile. Weights and inputs come through a ring of shared memory that belongs to the warp and reaches
// across tiles: the stream of weights does not stop while a tile's sums are added and finished.
#include "backend/cuda/kernels/linear_skinny.h"

#include "backend/cuda/kernels/linear_epilogue.cuh"
#include "backend/cuda/kernels/linear_fragments.cuh"
#include "backend/cuda/kernels/linear_slices.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = kSlices * kWarp;

struct SkinnyArguments {
  SkinnyLinear linear;
  int first_tile[kMostLinearParts + 1] = {};  // of each part; the last: how many there are
  int64_t pitch = 0;                          // of the prepared rows
  bool is_read_once = true;                   // the weights
};

/// What a tile holds: kHalves times 8 rows of weights, of gated ones half of them the second factor's.
template <int kHalves, int kColumns>
struct Shape {
  static constexpr int kTall = (kHalves + 1) / 2;  // matrix instructions for all rows
  static constexpr int kStageBytes = (kHalves + kColumns) * kPieceBytes;
  static constexpr int kPartials = kTall * kColumns * kWarp;  // float4, of a warp
  static constexpr int kPartialBytes = 2 * kSlices * kPartials * 16;
};

struct Tile {
  int part;
  int first_output;
};
__device__ Tile tile_at(const SkinnyArguments& a, int tile, int outputs) {
  int part = 0;
  while (part + 1 < a.linear.part_count && tile >= a.first_tile[part + 1]) ++part;
  return {part, (tile - a.first_tile[part]) * outputs};
}

template <DType kType, int kHalves, int kColumns, int kStages>
__global__ void __launch_bounds__(kThreads, 1) linear_skinny(const __grid_constant__ SkinnyArguments a) {
  using S = Shape<kHalves, kColumns>;
  extern __shared__ uint4 shared[];
  const SkinnyLinear& linear = a.linear;
  const bool gated = linear.epilogue.gated;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int group = lane / 4;
  const int quad = lane % 4;
  const Slice slice = slice_of(linear.in, warp);
  const int tile_outputs = (gated ? kHalves / 2 : kHalves) * kPieceRows;
  const int tiles = a.first_tile[linear.part_count];

  // The ring: stages of kHalves pieces of weights and kColumns of inputs.
  const uint32_t ring =
      shared_address(shared) + static_cast<uint32_t>(warp * kStages * S::kStageBytes + lane * 16);
  const uint64_t policy = weights_policy(a.is_read_once);
  const char* weights[kHalves];  // this lane's first values of the tile that is being read
  const char* inputs[kColumns];
  const int64_t begin = int64_t{slice.begin} * kStep + quad * 8;
  for (int j = 0; j < kColumns; ++j) {
    const int64_t row = min(static_cast<int64_t>(j * kPieceRows + group), linear.rows - 1);
    inputs[j] = static_cast<const char*>(linear.x) + (row * a.pitch + begin) * 2;
  }
  const auto aim = [&](int tile_number) {
    const Tile tile = tile_at(a, tile_number, tile_outputs);
    const SkinnyPart& part = linear.parts[tile.part];
    for (int h = 0; h < kHalves; ++h) {
      const bool is_up = gated && h % 2 != 0;
      const int64_t output = tile.first_output + (gated ? h / 2 : h) * kPieceRows + group;
      const int64_t row = min(output, static_cast<int64_t>(part.outputs - 1));
      weights[h] = static_cast<const char*>(is_up ? part.up : part.weight) + (row * linear.in + begin) * 2;
    }
  };
  int reading_tile = static_cast<int>(blockIdx.x);
  int reading_step = 0;
  if (slice.steps > 0 && reading_tile < tiles) aim(reading_tile);
  const auto read = [&](int stage) {
    if (slice.steps > 0 && reading_tile < tiles) {
      const uint32_t to = ring + static_cast<uint32_t>(stage * S::kStageBytes);
      const int64_t offset = int64_t{reading_step} * (kStep * 2);
      const int bytes = begin + int64_t{reading_step} * kStep < linear.in ? 16 : 0;
      for (int h = 0; h < kHalves; ++h)
        copy_weights(to + static_cast<uint32_t>(h * kPieceBytes), weights[h] + offset, bytes, policy);
      for (int j = 0; j < kColumns; ++j)
        copy_inputs(to + static_cast<uint32_t>((kHalves + j) * kPieceBytes), inputs[j] + offset);
      if (++reading_step == slice.steps) {
        reading_step = 0;
        reading_tile += static_cast<int>(gridDim.x);
        if (reading_tile < tiles) aim(reading_tile);
      }
    }
    commit_copies();  // a group each time, empty or not, so that their number says which have landed
  };
  for (int stage = 0; stage < kStages - 1; ++stage) read(stage);

  auto* partials = reinterpret_cast<float*>(shared) + kSlices * kStages * S::kStageBytes / 4;
  int stage = 0;
  int turn = 0;
  for (int tile_number = static_cast<int>(blockIdx.x); tile_number < tiles;
       tile_number += static_cast<int>(gridDim.x), turn ^= 1) {
    float sums[S::kTall][kColumns][4] = {};
    for (int step = 0; step < slice.steps; ++step) {
      wait_for_copies<kStages - 2>();
      read(stage == 0 ? kStages - 1 : stage - 1);
      const uint32_t from = ring + static_cast<uint32_t>(stage * S::kStageBytes);
      uint4 pieces[2 * S::kTall] = {};
      for (int h = 0; h < kHalves; ++h) pieces[h] = load_piece(from + static_cast<uint32_t>(h * kPieceBytes));
      for (int j = 0; j < kColumns; ++j) {
        const uint4 input = load_piece(from + static_cast<uint32_t>((kHalves + j) * kPieceBytes));
        for (int m = 0; m < S::kTall; ++m)
          multiply_pieces<kType>(sums[m][j], pieces[2 * m], pieces[2 * m + 1], input);
      }
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }

    // Two sets of partial sums in turn: nobody writes one before everybody has passed the barrier after those
    // who read it.
    float* set = partials + turn * (kSlices * S::kPartials * 4);
    auto* own = reinterpret_cast<float4*>(set) + warp * S::kPartials;
    for (int m = 0; m < S::kTall; ++m) {
      for (int j = 0; j < kColumns; ++j) {
        const float(&four)[4] = sums[m][j];
        own[(m * kColumns + j) * kWarp + lane] = {four[0], four[1], four[2], four[3]};
      }
    }
    __syncthreads();
    const Tile tile = tile_at(a, tile_number, tile_outputs);
    const SkinnyPart& part = linear.parts[tile.part];
    const int items = tile_outputs * static_cast<int>(linear.rows);
    for (int item = static_cast<int>(threadIdx.x); item < items; item += kThreads) {
      const int output = item % tile_outputs;
      const int row = item / tile_outputs;
      const int64_t n = tile.first_output + output;
      if (n >= part.outputs) continue;
      const auto total = [&](int half) {
        const int place = (half / 2 * kColumns + row / 8) * kWarp + output % 8 * 4 + row % 8 / 2;
        return sum_of_slices(set + place * 4 + half % 2 * 2 + row % 2, S::kPartials * 4);
      };
      const int half = output / 8;
      const float row_scale = linear.row_scales == nullptr ? 1.0F : linear.row_scales[row];
      const float y = biased(total(gated ? 2 * half : half), row_scale, part.bias, n);
      const float up = gated ? biased(total(2 * half + 1), row_scale, part.up_bias, n) : 0;
      const int64_t at = row * static_cast<int64_t>(part.outputs) + n;
      part.out[at] = finished(linear.epilogue, y, up, n, at);
    }
  }
}

/// Outputs that the busiest multiprocessor computes.
int64_t busiest(int64_t tiles, int64_t outputs, int multiprocessors) {
  return divide_up(tiles, multiprocessors) * outputs;
}

template <DType kType, int kHalves, int kColumns, int kStages>
void launch(const Gpu& gpu, const SkinnyArguments& arguments) {
  using S = Shape<kHalves, kColumns>;
  constexpr int kBytes = kSlices * kStages * S::kStageBytes + S::kPartialBytes;
  const auto kernel = linear_skinny<kType, kHalves, kColumns, kStages>;
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  const int tiles = arguments.first_tile[arguments.linear.part_count];
  kernel<<<static_cast<unsigned>(tiles < gpu.multiprocessors ? tiles : gpu.multiprocessors), kThreads, kBytes,
           gpu.stream>>>(arguments);
}

/// The deepest ring that the device has room for.
template <DType kType, int kHalves, int kColumns, int kStages>
void launch_deep(const Gpu& gpu, const SkinnyArguments& arguments) {
  using S = Shape<kHalves, kColumns>;
  if (gpu.shared_bytes_per_block >= kSlices * kStages * S::kStageBytes + S::kPartialBytes) {
    launch<kType, kHalves, kColumns, kStages>(gpu, arguments);
  } else {
    launch<kType, kHalves, kColumns, 2>(gpu, arguments);
  }
}

/// Tiles for outputs of `outputs` each.
int count_tiles(SkinnyArguments& arguments, int outputs) {
  int tiles = 0;
  for (int i = 0; i < arguments.linear.part_count; ++i) {
    arguments.first_tile[i] = tiles;
    tiles += static_cast<int>(divide_up(arguments.linear.parts[i].outputs, outputs));
  }
  arguments.first_tile[arguments.linear.part_count] = tiles;
  return tiles;
}

template <DType kType>
void run(const Gpu& gpu, SkinnyArguments& arguments) {
  const bool is_wide = arguments.linear.rows > kPieceRows;
  const int wide_outputs = arguments.linear.epilogue.gated ? 8 : 16;
  if (!arguments.linear.epilogue.gated) {
    // Eight outputs a tile where that spreads them more evenly.
    const int64_t narrow = busiest(count_tiles(arguments, 8), 8, gpu.multiprocessors);
    if (narrow < busiest(count_tiles(arguments, 16), 16, gpu.multiprocessors)) {
      if (count_tiles(arguments, 8) == 0) return;
      return is_wide ? launch_deep<kType, 1, 2, 6>(gpu, arguments)
                     : launch_deep<kType, 1, 1, 8>(gpu, arguments);
    }
  }
  if (count_tiles(arguments, wide_outputs) == 0) return;
  return is_wide ? launch_deep<kType, 2, 2, 5>(gpu, arguments) : launch_deep<kType, 2, 1, 6>(gpu, arguments);
}

}  // namespace

void run_linear_skinny(const Gpu& gpu, const SkinnyLinear& linear) {
  constexpr int64_t kRows = 16;  // of a launch
  SkinnyArguments arguments{.linear = linear, .pitch = prepared_pitch(linear.in)};
  arguments.is_read_once = linear.rows <= kRows;
  for (int64_t first = 0; first < linear.rows; first += kRows) {
    SkinnyLinear& some = arguments.linear;
    some = linear;
    some.rows = linear.rows - first < kRows ? linear.rows - first : kRows;
    some.x = static_cast<const char*>(linear.x) + first * arguments.pitch * 2;
    if (some.row_scales != nullptr) some.row_scales += first;
    for (int i = 0; i < some.part_count; ++i) some.parts[i].out += first * some.parts[i].outputs;
    const int64_t at = first * some.parts[0].outputs;
    if (some.epilogue.residual != nullptr) some.epilogue.residual += at;
    if (some.epilogue.adds_rows)
      some.epilogue.add.data = static_cast<const float*>(some.epilogue.add.data) + at;
    if (linear.dtype == DType::bf16) {
      run<DType::bf16>(gpu, arguments);
    } else {
      run<DType::f16>(gpu, arguments);
    }
  }
}

}  // namespace ingot::cuda
