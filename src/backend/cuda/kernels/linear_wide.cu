// A cluster of four blocks computes a tile of 128 weight rows for up to 64 rows of inputs, each block a
// fourth of K: one group of slices. The wide tile keeps the inputs, which every tile reads again, to a
// fraction of the weights' bytes. Four warps, 32 weight rows each, share the inputs in a ring of shared
// memory; then every block adds up and finishes what one of its warps has, from the shared memory of all
// four.
#include "backend/cuda/kernels/linear_wide.h"

#include "backend/cuda/kernels/linear_cluster_sums.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;
constexpr int kHalves = 4;  // of a warp, 8 weight rows each
constexpr int kTall = kHalves / 2;
constexpr int kTileHalves = kWarps * kHalves;
constexpr int kFewestRows = 33;  // that it is for

template <int kColumns>
struct Shape {
  static constexpr int kStageBytes = (kTileHalves + kColumns) * kPieceBytes;
  static constexpr int kStages = 108 * 1024 / kStageBytes;     // two blocks fit on a multiprocessor
  static constexpr int kFragments = kTall * kColumns * kWarp;  // of a warp, four sums each
  static_assert(kStages * kStageBytes >= kWarps * kFragments * 16);
};

template <DType kType, int kColumns>
__global__ void __launch_bounds__(kThreads) linear_wide(const __grid_constant__ SkinnyArguments a) {
  using S = Shape<kColumns>;
  extern __shared__ uint4 shared[];
  const SkinnyLinear& linear = a.linear;
  const bool gated = linear.epilogue.gated;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int rank = rank_in_cluster();
  const int tile_outputs = (gated ? kTileHalves / 2 : kTileHalves) * kPieceRows;
  const Tile tile = tile_at(a, static_cast<int>(blockIdx.x) / kLinearCluster, tile_outputs);

  const int first_slice = rank * kSliceGroup;
  const Slice last = slice_of(linear.in, first_slice + kSliceGroup - 1);
  const int first_step = slice_of(linear.in, first_slice).begin;
  const int steps = last.begin + last.steps - first_step;
  const int64_t begin = int64_t{first_step} * kStep + lane % 4 * 8;

  const uint32_t ring = shared_address(shared) + static_cast<uint32_t>(lane * 16);
  const uint64_t policy = weights_policy(a.is_read_once);
  const char* weights[kHalves];
  for (int h = 0; h < kHalves; ++h) weights[h] = weights_of_half(a, tile, warp * kHalves + h, begin);
  begin_next_kernel();
  const int64_t values = min(int64_t{steps} * kStep, linear.in - int64_t{first_step} * kStep);
  for (int h = 0; h < kHalves; ++h) fetch_ahead(weights[h], values);
  wait_for_inputs();

  constexpr int kCopies = (kColumns + kWarps - 1) / kWarps;  // of inputs, by each warp
  const char* inputs[kCopies];
  for (int i = 0; i < kCopies; ++i) {
    const int row = min((warp + i * kWarps) * kPieceRows + lane / 4, static_cast<int>(linear.rows) - 1);
    inputs[i] = static_cast<const char*>(linear.x) + (row * a.pitch + begin) * 2;
  }
  int reading_step = 0;
  const auto read = [&](int stage) {
    if (reading_step < steps) {
      const uint32_t to = ring + static_cast<uint32_t>(stage * S::kStageBytes);
      const int64_t offset = int64_t{reading_step} * (kStep * 2);
      const int bytes = begin + int64_t{reading_step} * kStep < linear.in ? 16 : 0;
      for (int h = 0; h < kHalves; ++h)
        copy_weights(to + static_cast<uint32_t>((warp * kHalves + h) * kPieceBytes), weights[h] + offset,
                     bytes, policy);
      for (int i = 0; i < kCopies; ++i) {
        const int column = warp + i * kWarps;
        if (column < kColumns)
          copy_inputs(to + static_cast<uint32_t>((kTileHalves + column) * kPieceBytes), inputs[i] + offset);
      }
      ++reading_step;
    }
    commit_copies();
  };
#pragma unroll 1
  for (int stage = 0; stage < S::kStages - 1; ++stage) read(stage);

  int stage = 0;
  float group[kTall][kColumns][4];
  for (int i = 0; i < kSliceGroup; ++i) {
    float sums[kTall][kColumns][4] = {};
    const Slice slice = slice_of(linear.in, first_slice + i);
    for (int step = 0; step < slice.steps; ++step) {
      wait_for_copies<S::kStages - 2>();
      __syncthreads();  // the inputs of all warps are there, and all have done with the stage before
      read(stage == 0 ? S::kStages - 1 : stage - 1);
      const uint32_t from = ring + static_cast<uint32_t>(stage * S::kStageBytes);
      uint4 pieces[kHalves];
      for (int h = 0; h < kHalves; ++h)
        pieces[h] = load_piece(from + static_cast<uint32_t>((warp * kHalves + h) * kPieceBytes));
      for (int j = 0; j < kColumns; ++j) {
        const uint4 input = load_piece(from + static_cast<uint32_t>((kTileHalves + j) * kPieceBytes));
        for (int m = 0; m < kTall; ++m)
          multiply_pieces<kType>(sums[m][j], pieces[2 * m], pieces[2 * m + 1], input);
      }
      stage = stage + 1 == S::kStages ? 0 : stage + 1;
    }
    for (int m = 0; m < kTall; ++m) {
      for (int j = 0; j < kColumns; ++j) {
        for (int c = 0; c < 4; ++c) group[m][j][c] = i == 0 ? sums[m][j][c] : group[m][j][c] + sums[m][j][c];
      }
    }
  }

  __syncthreads();  // the ring is free
  auto* fragments = reinterpret_cast<float4*>(shared);
  for (int m = 0; m < kTall; ++m) {
    for (int j = 0; j < kColumns; ++j) {
      const float(&four)[4] = group[m][j];
      fragments[warp * S::kFragments + (m * kColumns + j) * kWarp + lane] = {four[0], four[1], four[2],
                                                                             four[3]};
    }
  }
  synchronise_cluster();
  // The fragments of this rank's warp: two outputs, or one gated, of two rows each.
  for (int fragment = warp; fragment < kTall * kColumns; fragment += kWarps) {
    const int m = fragment / kColumns;
    const int first_row = fragment % kColumns * 8 + lane % 4 * 2;
    if (first_row >= linear.rows) continue;
    finish_fragment(a, tile, fragments + rank * S::kFragments + fragment * kWarp + lane,
                    rank * kHalves + 2 * m, first_row);
  }
  synchronise_cluster();  // nobody ends while another reads its memory
}

template <DType kType, int kColumns>
void launch(const Gpu& gpu, const SkinnyArguments& arguments) {
  using S = Shape<kColumns>;
  constexpr int kBytes = S::kStages * S::kStageBytes;
  const auto kernel = linear_wide<kType, kColumns>;
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  const int tiles = arguments.first_tile[arguments.linear.part_count];
  launch_overlapped<SkinnyArguments>(gpu, kernel,
                                     {.blocks = static_cast<unsigned>(tiles) * kLinearCluster,
                                      .threads = kThreads,
                                      .shared_bytes = kBytes,
                                      .cluster = kLinearCluster},
                                     arguments);
}

}  // namespace

bool run_linear_wide(const Gpu& gpu, const SkinnyArguments& arguments) {
  constexpr int64_t kRows = 64;  // of a launch
  const SkinnyLinear& linear = arguments.linear;
  if (gpu.compute_capability < 90 || linear.rows < kFewestRows) return false;
  SkinnyArguments all = arguments;
  const int tile_outputs = kTileHalves * kPieceRows / (linear.epilogue.gated ? 2 : 1);
  if (count_tiles(all, tile_outputs) == 0) return true;
  for (int64_t first = 0; first < linear.rows; first += kRows) {
    SkinnyArguments some = some_rows(all, first, kRows);
    some.is_read_once = linear.rows <= kRows;
    if (linear.dtype == DType::bf16) {
      launch<DType::bf16, 8>(gpu, some);
    } else {
      launch<DType::f16, 8>(gpu, some);
    }
  }
  return true;
}

}  // namespace ingot::cuda
