// A block of 16 warps computes tiles of a few outputs for up to 16 rows; each warp has its run of K, the same
// in every tile. Weights come through a ring of shared memory that belongs to the warp and reaches across
// tiles: their stream does not stop while a tile's sums are added and finished, and it begins before the
// kernel ahead, which may be the one that prepares the rows, has ended.
#include "backend/cuda/kernels/linear_skinny.h"

#include "backend/cuda/kernels/linear_batch.h"
#include "backend/cuda/kernels/linear_few_rows.h"
#include "backend/cuda/kernels/linear_one_row.h"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/linear_tiles.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = kSlices * kWarp;
constexpr int kRingRows = 16;  // of a launch of prepared rows

/// What a block keeps of kHalves times 8 rows of weights and kColumns times 8 rows of inputs.
template <int kHalves, int kColumns, int kStages>
struct Shape {
  static constexpr int kTall = (kHalves + 1) / 2;                         // matrix instructions for all rows
  static constexpr int kStageBytes = (kHalves + kColumns) * kPieceBytes;  // of a warp's ring
  static constexpr int kPartials = kTall * kColumns * kWarp * 4;          // floats of a warp
  static constexpr int kRingBytes = kSlices * kStages * kStageBytes;
  static constexpr int kBytes = kRingBytes + 2 * kSlices * kPartials * 4;
};

template <DType kType, int kHalves, int kColumns, int kStages>
__global__ void __launch_bounds__(kThreads, 1) linear_skinny(const __grid_constant__ SkinnyArguments a) {
  using S = Shape<kHalves, kColumns, kStages>;
  extern __shared__ uint4 shared[];
  const SkinnyLinear& linear = a.linear;
  const bool gated = linear.epilogue.gated;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Slice slice = slice_of(linear.in, warp);
  const int64_t begin = int64_t{slice.begin} * kStep + lane % 4 * 8;  // this lane's first value of each row
  const int tile_outputs = (gated ? kHalves / 2 : kHalves) * kPieceRows;
  const int tiles = a.first_tile[linear.part_count];
  const int first_tile = static_cast<int>(blockIdx.x);
  const auto input_row = [&](int column) {
    return min(column * kPieceRows + lane / 4, static_cast<int>(linear.rows) - 1);
  };

  // The ring: stages of kHalves pieces of weights and kColumns of inputs.
  char* const dynamic = reinterpret_cast<char*>(shared);
  const uint32_t ring = shared_address(dynamic + warp * kStages * S::kStageBytes);
  const uint32_t copied = ring + copied_place(lane);
  const uint32_t loaded = ring + loaded_place(lane);
  auto* const partials = reinterpret_cast<float*>(dynamic + S::kRingBytes);
  const uint64_t policy = weights_policy(a.is_read_once);
  const char* weights[kHalves];  // this lane's first values of the tile that is being read
  const auto aim = [&](int tile_number) {
    const Tile tile = tile_at(a, tile_number, tile_outputs);
    for (int h = 0; h < kHalves; ++h) weights[h] = weights_of_half(a, tile, h, begin);
  };
  int reading_tile = first_tile;
  int reading_step = 0;
  /// Asks for the weights of the next step, if there is one.
  const auto read_weights = [&](int stage) {
    if (slice.steps == 0 || reading_tile >= tiles) return;
    const uint32_t to = copied + static_cast<uint32_t>(stage * S::kStageBytes);
    const int64_t offset = int64_t{reading_step} * (kStep * 2);
    const int bytes = begin + int64_t{reading_step} * kStep < linear.in ? 16 : 0;
    for (int h = 0; h < kHalves; ++h)
      copy_weights(to + static_cast<uint32_t>(h * kPieceBytes), weights[h] + offset, bytes, policy);
    if (++reading_step < slice.steps) return;
    reading_step = 0;
    reading_tile += static_cast<int>(gridDim.x);
    if (reading_tile < tiles) aim(reading_tile);
  };
  const char* inputs[kColumns];
  int input_tile = first_tile;
  int input_step = 0;
  /// Asks for the inputs of the step whose weights were asked for at this stage.
  const auto read_inputs = [&](int stage) {
    if (slice.steps == 0 || input_tile >= tiles) return;
    const uint32_t to = copied + static_cast<uint32_t>(stage * S::kStageBytes + kHalves * kPieceBytes);
    const int64_t offset = int64_t{input_step} * (kStep * 2);
    for (int j = 0; j < kColumns; ++j)
      copy_inputs(to + static_cast<uint32_t>(j * kPieceBytes), inputs[j] + offset);
    if (++input_step < slice.steps) return;
    input_step = 0;
    input_tile += static_cast<int>(gridDim.x);
  };

  begin_next_kernel();
  // Nobody writes weights: the first are on their way before the inputs are there.
  if (slice.steps > 0) aim(first_tile);
#pragma unroll 1
  for (int stage = 0; stage < kStages - 1; ++stage) read_weights(stage);
  wait_for_inputs();
  for (int j = 0; j < kColumns; ++j)
    inputs[j] = static_cast<const char*>(linear.x) + (input_row(j) * a.pitch + begin) * 2;
    // A group each time, empty or not, so that their number says which have landed; the first has all weights
    // up to here.
#pragma unroll 1
  for (int stage = 0; stage < kStages - 1; ++stage) {
    read_inputs(stage);
    commit_copies();
  }

  int stage = 0;
  int turn = 0;
  for (int tile_number = first_tile; tile_number < tiles;
       tile_number += static_cast<int>(gridDim.x), turn ^= 1) {
    float sums[S::kTall][kColumns][4] = {};
    for (int step = 0; step < slice.steps; ++step) {
      wait_for_copies<kStages - 2>();
      __syncwarp();  // the copies of all lanes are there; the stage before is read
      const int last = stage == 0 ? kStages - 1 : stage - 1;
      read_weights(last);
      read_inputs(last);
      commit_copies();
      const uint32_t from = loaded + static_cast<uint32_t>(stage * S::kStageBytes);
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
    float* set = partials + turn * (kSlices * S::kPartials);
    auto* own = reinterpret_cast<float4*>(set + warp * S::kPartials);
    for (int m = 0; m < S::kTall; ++m) {
      for (int j = 0; j < kColumns; ++j) {
        const float(&four)[4] = sums[m][j];
        own[(m * kColumns + j) * kWarp + lane] = {four[0], four[1], four[2], four[3]};
      }
    }
    __syncthreads();
    const Tile tile = tile_at(a, tile_number, tile_outputs);
    const int items = tile_outputs * static_cast<int>(linear.rows);
    for (int item = static_cast<int>(threadIdx.x); item < items; item += kThreads) {
      const int output = item % tile_outputs;
      const int row = item / tile_outputs;
      if (tile.first_output + output >= linear.parts[tile.part].outputs) continue;
      const auto total = [&](int half) {
        const int place = (half / 2 * kColumns + row / 8) * kWarp + output % 8 * 4 + row % 8 / 2;
        return sum_of_slices(set + place * 4 + half % 2 * 2 + row % 2, S::kPartials);
      };
      const int half = gated ? output / 8 * 2 : output / 8;
      write_output(a, tile, output, row, linear.row_scales == nullptr ? 1.0F : linear.row_scales[row],
                   total(half), gated ? total(half + 1) : 0);
    }
  }
}

template <DType kType, int kHalves, int kColumns, int kStages>
bool launch(const Gpu& gpu, const SkinnyArguments& arguments) {
  using S = Shape<kHalves, kColumns, kStages>;
  const SkinnyLinear& linear = arguments.linear;
  constexpr int bytes = S::kBytes;
  constexpr int kFixedBytes = 3 << 10;  // what the kernel has of its own, and CUDA takes
  if (bytes + kFixedBytes > gpu.shared_bytes_per_block) return false;
  const auto kernel = linear_skinny<kType, kHalves, kColumns, kStages>;
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  const int tiles = arguments.first_tile[linear.part_count];
  const auto blocks = static_cast<unsigned>(tiles < gpu.multiprocessors ? tiles : gpu.multiprocessors);
  launch_overlapped<SkinnyArguments>(
      gpu, kernel, {.blocks = blocks, .threads = kThreads, .shared_bytes = bytes}, arguments);
  return true;
}

/// The deepest ring that the device has room for.
template <DType kType, int kHalves, int kColumns, int kStages>
void launch_deep(const Gpu& gpu, const SkinnyArguments& arguments) {
  if (launch<kType, kHalves, kColumns, kStages>(gpu, arguments)) return;
  // What the least device has room for.
  static_assert(Shape<kHalves, kColumns, 2>::kBytes + (3 << 10) <= (99 << 10));
  launch<kType, kHalves, kColumns, 2>(gpu, arguments);
}

/// Whether tiles of 8 outputs spread more evenly over the multiprocessors than tiles of 16.
bool are_small_tiles_better(const Gpu& gpu, SkinnyArguments& arguments) {
  const auto busiest = [&](int outputs) {
    return divide_up(count_tiles(arguments, outputs), gpu.multiprocessors) * outputs;
  };
  return !arguments.linear.epilogue.gated && busiest(8) < busiest(16);
}

template <DType kType>
void run(const Gpu& gpu, SkinnyArguments& arguments) {
  const int64_t rows = arguments.linear.rows;
  // With a tall tile for almost every multiprocessor, inputs are read once.
  constexpr int kTallOutputs = 32;
  if (rows <= 8 && !arguments.linear.epilogue.gated) {
    const int tiles = count_tiles(arguments, kTallOutputs);
    if (tiles <= gpu.multiprocessors && 10 * tiles >= 9 * gpu.multiprocessors &&
        launch<kType, 4, 1, 4>(gpu, arguments))
      return;
  }
  const bool is_small = are_small_tiles_better(gpu, arguments);
  if (count_tiles(arguments, is_small || arguments.linear.epilogue.gated ? 8 : 16) == 0) return;
  if (is_small) {
    if (rows <= 8) return launch_deep<kType, 1, 1, 8>(gpu, arguments);
    return launch_deep<kType, 1, 2, 6>(gpu, arguments);
  }
  if (rows <= 8) return launch_deep<kType, 2, 1, 6>(gpu, arguments);
  return launch_deep<kType, 2, 2, 5>(gpu, arguments);
}

}  // namespace

void run_linear_skinny(const Gpu& gpu, const SkinnyLinear& linear, int batch_tile) {
  if (linear.rows == 1 && has_linear_one_row(gpu, linear.in))
    return run_linear_one_row(gpu, linear, {}, {}, {}, one_row_rule(gpu, linear, {}));
  if (has_linear_few_rows(gpu, linear.rows, linear.in)) return run_linear_few_rows(gpu, linear, {});
  const SkinnyArguments all{.linear = linear, .pitch = prepared_pitch(linear.in)};
  if (run_linear_batch(gpu, all, batch_tile)) return;
  for (int64_t first = 0; first < linear.rows; first += kRingRows) {
    SkinnyArguments some = some_rows(all, first, kRingRows);
    some.is_read_once = linear.rows <= kRingRows;
    if (linear.dtype == DType::bf16) {
      run<DType::bf16>(gpu, some);
    } else {
      run<DType::f16>(gpu, some);
    }
  }
}

}  // namespace ingot::cuda
