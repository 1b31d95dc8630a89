// Products of weights in blocks with rows of 8-bit integers.
//
// A block of threads has 16 weight rows or a few times 16 (matrix instructions' A) and up to 32 rows of
// activations (their columns). A row's sum is cut into slices, of whose chunks the sums follow one another;
// each slice has a warp of its own with two stages in shared memory, so that it computes on one chunk while
// the next one comes, and never waits for other warps but at the end. Where there are more than 8 rows of
// activations, several warps with different weight rows form a team that shares the stage, since then the
// activations are what takes the most bytes.
//
// What a sum's bits depend on are the format, `in` and `out`: the slices follow from these, and how they are
// added up. How many warps do it does not matter, so that is chosen for speed.
#include <algorithm>

#include "backend/cuda/kernels/block_products.h"
#include "backend/cuda/kernels/block_stage.cuh"
#include "backend/cuda/kernels/block_tiles.cuh"

namespace ingot::cuda {
namespace {

constexpr int kMostWarps = 16;
/// Of a multiprocessor: what the registers are to suffice for where a weight's blocks would otherwise not
/// all fit at once.
constexpr int kResidentWarps = 28;
/// Slices that are added up last, one after the other; each may be the sum of others.
constexpr int kLastSlices = 4;

extern __shared__ uint4 shared_stages[];

/// Sums of a team's rows and columns, of which this thread holds some, in shared memory: [column, row].
template <int kTiles>
__device__ void put_sums(const float (&sums)[kTiles][4], int first_row, int columns, int row_stride,
                         float* to) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = n * kTileColumns + lane % 4 * 2 + i % 2;
      if (column < columns) to[column * row_stride + first_row + lane / 4 + i / 2 * 8] = sums[n][i];
    }
  }
}

/// kColumns: the most columns. kShares: the warps of a team share a stage; else each warp is one. kAlignment:
/// what row_bytes are a multiple of; if at least 4, where the words of a chunk lie is known beforehand.
template <class Blocks, int kColumns, bool kShares, int kAlignment>
__global__ void __launch_bounds__(kShares ? kMostWarps* kWarp : kResidentWarps* kWarp)
    multiply_blocks(const BlockProduct product, const BlockLayout layout) {
  using Shape = StageShape<Blocks>;
  constexpr int kTiles = (kColumns + kTileColumns - 1) / kTileColumns;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int team_warps = kShares ? layout.team_warps : 1;
  const int team = warp / team_warps;
  const int own_row = warp % team_warps * kWarpRows;  // of the team's
  const int team_threads = team_warps * kWarp;

  const int64_t first_row = static_cast<int64_t>(blockIdx.x / layout.column_blocks) * team_warps * kWarpRows;
  const int64_t first_column = static_cast<int64_t>(blockIdx.x % layout.column_blocks) * kColumns;
  const int columns = static_cast<int>(min(product.rows - first_column, int64_t{kColumns}));

  unsigned char* const weights = reinterpret_cast<unsigned char*>(shared_stages) + team * layout.team_bytes;
  unsigned char* const activations = weights + kStages * layout.stage_bytes;
  const Stage<Blocks, kAlignment> stage(product, layout, first_row, first_column, columns,
                                        static_cast<int>(threadIdx.x) - team * team_threads, team_threads);
  const auto wait_for_others = [&] {
    if constexpr (kShares) {
      wait_for_team(1 + team, team_threads);
    } else {
      __syncwarp();
    }
  };
  const auto first_chunk = [&](int slice) { return layout.chunks * slice / layout.slices; };
  const int first_slice = team * layout.team_slices;
  const int last_chunk = first_chunk(first_slice + layout.team_slices);

  int coming = first_chunk(first_slice);
  if (layout.columns_stay) {
    for (int chunk = coming; chunk < last_chunk; ++chunk)
      stage.begin_columns(chunk, activations + (chunk - coming) * layout.column_bytes);
  }
#pragma unroll
  for (int i = 0; i < kStages; ++i, ++coming) {
    if (coming < last_chunk) {
      stage.begin_weights(coming, weights + i * layout.stage_bytes);
      if (!layout.columns_stay) stage.begin_columns(coming, activations + i * layout.column_bytes);
    }
    end_stage();
  }
  // Columns that are not there are read as others that are; nobody reads what comes of them.
  int value_at[kTiles];
  int scale_at[kTiles];
  int sum_at[kTiles];
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
    const int column = min(n * kTileColumns + lane / 4, columns - 1);
    const int pair = min(n * 4 + lane % 4, (columns - 1) / 2);
    value_at[n] = column * Shape::kColumnBytes + lane % 4 * Blocks::kPartBytes;
    scale_at[n] = layout.scales_at + pair * 8;
    sum_at[n] = layout.sums_at + (lane % 4 * layout.column_stride + column) * 4;
  }

  float total[kTiles][4] = {};
  int buffer = 0;         // stage of the weights
  int column_buffer = 0;  // of the activations
  for (int i = 0; i < layout.team_slices; ++i) {
    float sums[kTiles][4] = {};
    const int end = first_chunk(first_slice + i + 1);
    for (int chunk = first_chunk(first_slice + i); chunk < end; ++chunk) {
      wait_for_stage<kStages - 1>();
      wait_for_others();
      unsigned char* const here = weights + buffer * layout.stage_bytes;
      unsigned char* const columns_here = activations + column_buffer * layout.column_bytes;
      ChunkColumns<kTiles> x;
      x.group_step = layout.column_stride / 2;
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        x.values[n] = reinterpret_cast<const unsigned*>(columns_here + value_at[n]);
        x.scales[n] = reinterpret_cast<const float2*>(columns_here + scale_at[n]);
        x.sums[n] = reinterpret_cast<const float*>(columns_here + sum_at[n]);
      }
      const auto* words = reinterpret_cast<const unsigned*>(here);
      const int row = stage.row_at(chunk, own_row + lane / 4);
      const int row_8 = stage.row_at(chunk, own_row + lane / 4 + 8);
      const auto add = [&](int rest, int rest_8) {
        const RowPieces of = {{words + (row >> 2), rest}, {words + (row_8 >> 2), rest_8}};
        Blocks::template add<(kColumns > 1)>(of, stage.groups(chunk), x, sums);
      };
      if constexpr (kAlignment < 4) {
        add(row & 3, row_8 & 3);
      } else if (Blocks::kChunkBytes % 4 == 0 || (row & 3) == 0) {
        add(0, 0);
      } else {
        add(2, 2);
      }
      wait_for_others();
      if (coming < last_chunk) {
        stage.begin_weights(coming, here);
        if (!layout.columns_stay) stage.begin_columns(coming, columns_here);
      }
      end_stage();
      ++coming;
      if (++buffer == kStages) buffer = 0;
      if (++column_buffer == layout.column_stages) column_buffer = 0;
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int j = 0; j < 4; ++j) total[n][j] = i == 0 ? sums[n][j] : total[n][j] + sums[n][j];
    }
  }

  wait_for_stage<0>();
  __syncthreads();  // the stages are no longer needed: the teams' sums take their place
  auto* const all = reinterpret_cast<float*>(shared_stages);
  const int rows = team_warps * kWarpRows;
  const int row_stride = rows + 4;
  const int team_stride = columns * row_stride;
  put_sums<kTiles>(total, own_row, columns, row_stride, all + team * team_stride);
  __syncthreads();
  const int together = layout.slices / layout.team_slices / min(layout.teams, kLastSlices);
  for (int i = static_cast<int>(threadIdx.x); i < columns * rows; i += static_cast<int>(blockDim.x)) {
    const int row = i % rows;
    const int column = i / rows;
    if (first_row + row >= product.out) continue;
    const float* of_team = all + column * row_stride + row;
    float sum = 0;
    for (int next = 0; next < layout.teams; next += together) {
      float slice = of_team[next * team_stride];
      for (int j = 1; j < together; ++j) slice += of_team[(next + j) * team_stride];
      sum = next == 0 ? slice : sum + slice;
    }
    product.sums[(first_column + column) * product.stride + first_row + row] = sum;
  }
}

/// Slices of a row's sum: enough that there are some 16 warps for each of an H200's multiprocessors.
int slices_of(int64_t out, int chunks) {
  constexpr int64_t kEnough = 2000;
  const int64_t tiles = divide_up(out, kWarpRows);
  int slices = 1;
  while (2 * slices <= chunks && slices < kMostWarps && (slices < kLastSlices || tiles * slices < kEnough))
    slices *= 2;
  return slices;
}

template <class Blocks>
BlockLayout layout_of(const BlockProduct& product, int columns, bool shares, int team_warps) {
  using Shape = StageShape<Blocks>;
  BlockLayout layout;
  layout.row_bytes = product.in / Blocks::Block::kElements * Shape::kBlock;
  layout.chunks = static_cast<int>(divide_up(product.in, Shape::kValues));
  layout.slices = slices_of(product.out, layout.chunks);
  layout.team_slices = shares ? std::max(1, layout.slices / kLastSlices) : 1;
  layout.teams = layout.slices / layout.team_slices;
  layout.team_warps = team_warps;
  layout.column_blocks = static_cast<int>(divide_up(product.rows, columns));
  layout.columns = static_cast<int>(std::min<int64_t>(product.rows, columns));
  layout.column_stride = static_cast<int>(round_up(layout.columns, 2));
  layout.stage_bytes = team_warps * kWarpRows * Shape::kRowBytes;
  const int scales_bytes = Shape::kGroups * layout.column_stride * static_cast<int>(sizeof(float));
  layout.scales_at = layout.columns * Shape::kColumnBytes;
  layout.sums_at = layout.scales_at + scales_bytes;
  layout.column_bytes = layout.sums_at + (Blocks::kNeedsSums ? scales_bytes : 0);
  // Few activations come all at once, as long as they take less room than the weights do.
  const int slice_chunks = static_cast<int>(divide_up(layout.chunks, layout.slices));
  layout.columns_stay = !shares && slice_chunks * layout.column_bytes <= kStages * layout.stage_bytes;
  layout.column_stages = layout.columns_stay ? std::max(slice_chunks, 1) : kStages;
  layout.team_bytes = kStages * layout.stage_bytes + layout.column_stages * layout.column_bytes;
  return layout;
}

int shared_bytes(const BlockLayout& layout) {
  const int sums = layout.teams * layout.columns * (layout.team_warps * kWarpRows + 4);
  return std::max(layout.teams * layout.team_bytes, sums * static_cast<int>(sizeof(float)));
}

int64_t thread_blocks(const BlockProduct& product, const BlockLayout& layout) {
  return divide_up(product.out, layout.team_warps * kWarpRows) * layout.column_blocks;
}

template <class Blocks, int kColumns, bool kShares>
void launch(const Gpu& gpu, const BlockProduct& product) {
  BlockLayout layout = layout_of<Blocks>(product, kColumns, kShares, 1);
  if constexpr (kShares) {
    // The more weight rows share the activations the better, as long as there is work for everyone.
    for (int warps : {2, 4}) {
      const BlockLayout wider = layout_of<Blocks>(product, kColumns, kShares, warps);
      if (wider.teams * warps > kMostWarps || shared_bytes(wider) > gpu.shared_bytes_per_block ||
          thread_blocks(product, wider) * 8 < int64_t{gpu.multiprocessors} * 7)
        break;
      layout = wider;
    }
  }
  // Rows of whole 16 bytes are what models have; q4_k has no others.
  constexpr bool kAlways16 = sizeof(typename Blocks::Block) % 16 == 0;
  auto kernel = multiply_blocks<Blocks, kColumns, kShares, 16>;
  if constexpr (!kAlways16) {
    if (layout.row_bytes % 16 != 0) {
      kernel = layout.row_bytes % 4 == 0 ? multiply_blocks<Blocks, kColumns, kShares, 4>
                                         : multiply_blocks<Blocks, kColumns, kShares, 1>;
    }
  }
  const int bytes = shared_bytes(layout);
  if (bytes > 48 * 1024) cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                       cudaSharedmemCarveoutMaxShared);
  const auto blocks = static_cast<unsigned>(thread_blocks(product, layout));
  const auto threads = static_cast<unsigned>(layout.teams * layout.team_warps * kWarp);
  kernel<<<blocks, threads, static_cast<size_t>(bytes), gpu.stream>>>(product, layout);
}

template <class Blocks>
void launch_for_rows(const Gpu& gpu, const BlockProduct& product) {
  if (product.rows == 1) return launch<Blocks, 1, false>(gpu, product);
  if (product.rows <= 8) return launch<Blocks, 8, false>(gpu, product);
  if (product.rows <= 16) return launch<Blocks, 16, true>(gpu, product);
  return launch<Blocks, 32, true>(gpu, product);
}

}  // namespace

bool has_block_product(DType dtype) {
  return dtype == DType::q8_0 || dtype == DType::q4_0 || dtype == DType::q4_k || dtype == DType::q6_k ||
         dtype == DType::mxfp4;
}

void run_block_product(const Gpu& gpu, const BlockProduct& product) {
  if (product.rows == 0 || product.out == 0) return;
  switch (product.dtype) {
    case DType::q8_0:
      return launch_for_rows<BlocksOf32<Q8_0Codes>>(gpu, product);
    case DType::q4_0:
      return launch_for_rows<BlocksOf32<Q4_0Codes>>(gpu, product);
    case DType::mxfp4:
      return launch_for_rows<BlocksOf32<Mxfp4Codes>>(gpu, product);
    case DType::q4_k:
      return launch_for_rows<BlocksOfQ4_K>(gpu, product);
    case DType::q6_k:
      return launch_for_rows<BlocksOfQ6_K>(gpu, product);
    default:
      return;
  }
}

}  // namespace ingot::cuda
