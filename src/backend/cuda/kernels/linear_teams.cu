// Clusters of four blocks compute tiles of weight rows for up to 32 rows of inputs, each block a fourth of K:
// one group of slices. Tiles are as tall as they can be, since every tile reads the inputs again.
//
// In a block, the warps that share one or two slices are a team: each has 32 of the tile's rows, and together
// they keep a ring of weights and inputs that reaches across tiles. Teams add what they have to the sums of
// the teams before, in shared memory; then every block adds up and finishes its part of the tile from the
// shared memory of all four, while the rings fill with the next.
#include "backend/cuda/kernels/linear_teams.h"

#include "backend/cuda/kernels/linear_cluster_sums.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kHalves = 4;  // of a warp, 8 weight rows each
constexpr int kTall = kHalves / 2;
constexpr int kFewestRows = 17;  // that it is for
constexpr int kMostRows = 32;

/// kColumns: of 8 rows of inputs. kTeams: of kTeamWarps warps.
template <int kColumns_, int kTeams_, int kTeamWarps_>
struct Shape {
  static constexpr int kColumns = kColumns_;
  static constexpr int kTeams = kTeams_;
  static constexpr int kTeamWarps = kTeamWarps_;
  static constexpr int kTeamThreads = kTeamWarps * kWarp;
  static constexpr int kThreads = kTeams * kTeamThreads;
  static constexpr int kTileHalves = kTeamWarps * kHalves;
  static constexpr int kTeamSlices = kSliceGroup / kTeams;
  static constexpr int kStageBytes = (kTileHalves + kColumns) * kPieceBytes;
  static constexpr int kFragments = kTall * kColumns * kWarp;  // of a warp, four sums each
  static constexpr int kSumsBytes = kTeamWarps * kFragments * 16;
  static constexpr int kStages = (222 * 1024 - kSumsBytes) / (kTeams * kStageBytes);
  static constexpr int kBytes = kSumsBytes + kTeams * kStages * kStageBytes;
  static constexpr int kShare = kTeamWarps * kFragments / kLinearCluster;  // that a block finishes
  static_assert(kTeamSlices * kTeams == kSliceGroup && kTeamSlices <= 2 && kShare % kWarp == 0);
};

/// Of a team. Barrier 0 is the block's.
__device__ void synchronise_team(int team, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(team + 1), "r"(threads) : "memory");
}

template <DType kType, class S>
__global__ void __launch_bounds__(S::kThreads, 1) linear_teams(const __grid_constant__ SkinnyArguments a) {
  constexpr int kColumns = S::kColumns;
  constexpr int kStages = S::kStages;
  extern __shared__ uint4 shared[];
  const SkinnyLinear& linear = a.linear;
  const bool gated = linear.epilogue.gated;
  const int thread = static_cast<int>(threadIdx.x);
  const int team = thread / S::kTeamThreads;
  const int warp = thread % S::kTeamThreads / kWarp;  // of the team
  const int lane = thread % kWarp;
  const int rank = rank_in_cluster();
  const int tile_outputs = (gated ? S::kTileHalves / 2 : S::kTileHalves) * kPieceRows;
  const int tiles = a.first_tile[linear.part_count];
  const int first_tile = static_cast<int>(blockIdx.x) / kLinearCluster;
  const int tile_stride = static_cast<int>(gridDim.x) / kLinearCluster;

  const int first_slice = rank * kSliceGroup + team * S::kTeamSlices;
  const Slice last = slice_of(linear.in, first_slice + S::kTeamSlices - 1);
  const int first_step = slice_of(linear.in, first_slice).begin;
  const int steps = last.begin + last.steps - first_step;
  const int64_t begin = int64_t{first_step} * kStep + lane % 4 * 8;

  auto* const fragments = reinterpret_cast<float4*>(shared);
  char* const own =
      reinterpret_cast<char*>(shared) + S::kSumsBytes + team * kStages * S::kStageBytes + lane * 16;
  const uint32_t ring = shared_address(own);
  const uint64_t policy = weights_policy(a.is_read_once);
  const char* weights[kHalves];  // of the tile that is being read
  const auto aim = [&](int tile_number) {
    const Tile tile = tile_at(a, tile_number, tile_outputs);
#pragma unroll
    for (int h = 0; h < kHalves; ++h) weights[h] = weights_of_half(a, tile, warp * kHalves + h, begin);
  };
  int weights_tile = steps > 0 ? first_tile : tiles;
  int weights_step = 0;
  /// Asks for the weights of the next step, if there is one.
  const auto read_weights = [&](int stage) {
    if (weights_tile >= tiles) return;
    const uint32_t to = ring + static_cast<uint32_t>(stage * S::kStageBytes + warp * kHalves * kPieceBytes);
    const int64_t offset = int64_t{weights_step} * (kStep * 2);
    const int bytes = begin + int64_t{weights_step} * kStep < linear.in ? 16 : 0;
#pragma unroll
    for (int h = 0; h < kHalves; ++h)
      copy_weights(to + static_cast<uint32_t>(h * kPieceBytes), weights[h] + offset, bytes, policy);
    if (++weights_step < steps) return;
    weights_step = 0;
    weights_tile += tile_stride;
    if (weights_tile < tiles) aim(weights_tile);
  };
  constexpr int kCopies = (kColumns + S::kTeamWarps - 1) / S::kTeamWarps;  // of inputs, by each warp
  const char* inputs[kCopies];
  int inputs_tile = steps > 0 ? first_tile : tiles;
  int inputs_step = 0;
  /// Asks for the inputs of the step whose weights were asked for at this stage.
  const auto read_inputs = [&](int stage) {
    if (inputs_tile >= tiles) return;
    const uint32_t to = ring + static_cast<uint32_t>(stage * S::kStageBytes + S::kTileHalves * kPieceBytes);
    const int64_t offset = int64_t{inputs_step} * (kStep * 2);
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int column = warp + i * S::kTeamWarps;
      if (column < kColumns)
        copy_inputs(to + static_cast<uint32_t>(column * kPieceBytes), inputs[i] + offset);
    }
    if (++inputs_step < steps) return;
    inputs_step = 0;
    inputs_tile += tile_stride;
  };

  begin_next_kernel();
  // Nobody writes weights: the first are on their way before the inputs are there.
  aim(first_tile);
#pragma unroll 1
  for (int stage = 0; stage < kStages - 1; ++stage) read_weights(stage);
  wait_for_inputs();
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const int row =
        min((warp + i * S::kTeamWarps) * kPieceRows + lane / 4, static_cast<int>(linear.rows) - 1);
    inputs[i] = static_cast<const char*>(linear.x) + (row * a.pitch + begin) * 2;
  }
  // A group each time, so that their number says which have landed; the first has all weights up to here.
#pragma unroll 1
  for (int stage = 0; stage < kStages - 1; ++stage) {
    read_inputs(stage);
    commit_copies();
  }

  int stage = 0;
  for (int tile_number = first_tile; tile_number < tiles; tile_number += tile_stride) {
    float sums[S::kTeamSlices][kTall][kColumns][4] = {};
#pragma unroll
    for (int i = 0; i < S::kTeamSlices; ++i) {
      const Slice slice = slice_of(linear.in, first_slice + i);
#pragma unroll 1
      for (int step = 0; step < slice.steps; ++step) {
        wait_for_copies<kStages - 2>();
        synchronise_team(team, S::kTeamThreads);  // the copies of all are there; the stage before is read
        const int free = stage == 0 ? kStages - 1 : stage - 1;
        read_weights(free);
        read_inputs(free);
        commit_copies();
        const auto* from = reinterpret_cast<const uint4*>(own + stage * S::kStageBytes);
        constexpr int kPiece = kPieceBytes / 16;
        uint4 pieces[kHalves];
#pragma unroll
        for (int h = 0; h < kHalves; ++h) pieces[h] = from[(warp * kHalves + h) * kPiece];
        uint4 columns[kColumns];
#pragma unroll
        for (int j = 0; j < kColumns; ++j) columns[j] = from[(S::kTileHalves + j) * kPiece];
          // One half of the step for all sums, then the other: what a product needs is long there.
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
#pragma unroll
          for (int m = 0; m < kTall; ++m)
            multiply_half<kType>(sums[i][m][j], pieces[2 * m].x, pieces[2 * m + 1].x, pieces[2 * m].y,
                                 pieces[2 * m + 1].y, columns[j].x, columns[j].y);
        }
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
#pragma unroll
          for (int m = 0; m < kTall; ++m)
            multiply_half<kType>(sums[i][m][j], pieces[2 * m].z, pieces[2 * m + 1].z, pieces[2 * m].w,
                                 pieces[2 * m + 1].w, columns[j].z, columns[j].w);
        }
        stage = stage + 1 == kStages ? 0 : stage + 1;
      }
    }

    // The sums of the group, slice after slice.
    if (tile_number != first_tile) wait_for_cluster();  // all have read the last tile's
#pragma unroll 1
    for (int turn = 0; turn < S::kTeams; ++turn) {
      if (turn == team) {
#pragma unroll
        for (int m = 0; m < kTall; ++m) {
#pragma unroll
          for (int j = 0; j < kColumns; ++j) {
            float4& place = fragments[warp * S::kFragments + (m * kColumns + j) * kWarp + lane];
            const float(&four)[4] = sums[0][m][j];
            float4 sum{four[0], four[1], four[2], four[3]};
            if (turn > 0) {
              const float4 before = place;
              sum = {before.x + sum.x, before.y + sum.y, before.z + sum.z, before.w + sum.w};
            }
            if constexpr (S::kTeamSlices > 1) {
              const float(&more)[4] = sums[S::kTeamSlices - 1][m][j];
              sum = {sum.x + more[0], sum.y + more[1], sum.z + more[2], sum.w + more[3]};
            }
            place = sum;
          }
        }
      }
      if (turn + 1 < S::kTeams) __syncthreads();
    }
    synchronise_cluster();
    // This rank's fragments: two outputs, or one gated, of two rows each.
    const Tile tile = tile_at(a, tile_number, tile_outputs);
    for (int i = rank * S::kShare + thread; i < (rank + 1) * S::kShare; i += S::kThreads) {
      const int m = i % S::kFragments / (kColumns * kWarp);
      const int first_row = i / kWarp % kColumns * 8 + lane % 4 * 2;
      if (first_row >= linear.rows) continue;
      const int half = i / S::kFragments * kHalves + 2 * m;
      finish_fragment(a, tile, fragments + i, half, first_row);
    }
    arrive_having_read();
  }
  wait_for_cluster();  // nobody ends while another reads its memory
}

/// Clusters that run together.
template <DType kType, class S>
int most_clusters(const Gpu& gpu) {
  const auto kernel = linear_teams<kType, S>;
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kBytes));
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {kLinearCluster, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(gpu.multiprocessors / kLinearCluster * kLinearCluster));
  config.blockDim = dim3(S::kThreads);
  config.dynamicSmemBytes = S::kBytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = 0;
  if (cudaOccupancyMaxActiveClusters(&clusters, kernel, &config) != cudaSuccess || clusters < 1) return 1;
  return clusters;
}

/// A tile's height in units of a team's warps times the tiles of the busiest cluster.
template <DType kType, class S>
int busiest(const Gpu& gpu, SkinnyArguments& arguments) {
  const int outputs = S::kTileHalves * kPieceRows / (arguments.linear.epilogue.gated ? 2 : 1);
  return static_cast<int>(divide_up(count_tiles(arguments, outputs), most_clusters<kType, S>(gpu))) *
         S::kTeamWarps;
}

template <DType kType, class S>
void launch(const Gpu& gpu, SkinnyArguments& arguments) {
  const int outputs = S::kTileHalves * kPieceRows / (arguments.linear.epilogue.gated ? 2 : 1);
  const int tiles = count_tiles(arguments, outputs);
  const int clusters = most_clusters<kType, S>(gpu);
  launch_overlapped<SkinnyArguments>(
      gpu, linear_teams<kType, S>,
      {.blocks = static_cast<unsigned>(tiles < clusters ? tiles : clusters) * kLinearCluster,
       .threads = S::kThreads,
       .shared_bytes = S::kBytes,
       .cluster = kLinearCluster},
      arguments);
}

template <DType kType, int kColumns>
void run_columns(const Gpu& gpu, SkinnyArguments& arguments) {
  using Tall = Shape<kColumns, 4, 4>;
  using Low = Shape<kColumns, 4, 2>;
  if (busiest<kType, Tall>(gpu, arguments) <= busiest<kType, Low>(gpu, arguments))
    return launch<kType, Tall>(gpu, arguments);
  launch<kType, Low>(gpu, arguments);
}

}  // namespace

bool run_linear_teams(const Gpu& gpu, const SkinnyArguments& arguments) {
  const SkinnyLinear& linear = arguments.linear;
  if (gpu.compute_capability < 90 || linear.rows < kFewestRows || linear.rows > kMostRows) return false;
  SkinnyArguments all = arguments;
  if (count_tiles(all, 1) == 0) return true;
  if (linear.dtype == DType::bf16) {
    run_columns<DType::bf16, kMostRows / kPieceRows>(gpu, all);
  } else {
    run_columns<DType::f16, kMostRows / kPieceRows>(gpu, all);
  }
  return true;
}

}  // namespace ingot::cuda
