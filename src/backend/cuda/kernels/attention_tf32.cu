// Attention for prompts on tensor cores (flash attention; Dao, 2023): one block for a tile of queries of one
// sequence and key head.
//
// Queries are numbered row by row and in a row head by head of the key head's group, so that a whole group
// shares what is read of the cache. Keys come in blocks of 32, which lie at multiples of 32 from the
// sequence's start and follow each other from the first that the tile sees. A block that a query does not see
// leaves its sums as they are, so the query's bits depend neither on its tile nor on how a prompt is cut.
#include <climits>
#include <cmath>

#include "backend/cuda/kernels/attention_scores.cuh"
#include "backend/cuda/kernels/attention_tiles.cuh"

namespace ingot::cuda {
namespace {

/// grid: [tiles, kv_heads], the heads fastest and the last tiles, which have the most keys, first.
template <typename S>
__global__ void __launch_bounds__(kTileThreads, S::kBlocks)
    attend_tile(const PagedAttention a, const int tiles) {
  extern __shared__ float4 shared_parts[];
  __shared__ QueryTile tile;
  auto* queries = reinterpret_cast<float*>(shared_parts);  // [kQueries, kStride]
  float* keys = queries + S::kQueries * S::kStride;        // [kBlockKeys, kStride]
  float* values = keys + kBlockKeys * S::kStride;          // likewise

  const int thread = static_cast<int>(threadIdx.x);
  const int group = a.heads / a.kv_heads;
  const int kv_head = static_cast<int>(blockIdx.x) % a.kv_heads;
  clear_padding(a, rows_of_sequences(a));
  find_tile(a, group, S::kQueries, tiles - 1 - static_cast<int>(blockIdx.x) / a.kv_heads, tile);
  if (tile.sequence < 0) return;
  const int32_t* pages = a.block_table + static_cast<int64_t>(tile.sequence) * a.pages;
  const auto position_of = [&](int query) { return tile.position + min(query, tile.queries - 1) / group; };
  const auto offset_of = [&](int query) {
    const int row = query / group;
    const int64_t head =
        static_cast<int64_t>(tile.row + row) * a.heads + kv_head * group + query - row * group;
    return head * S::kHeadDim;
  };

  const int begin = first_key(a, position_of(tile.first));
  const int end = position_of(tile.first + S::kQueries - 1) + 1;
  int first = begin / kBlockKeys * kBlockKeys;
  begin_block<S, false>(a, pages, kv_head, first, begin, end, keys);
  commit_copies();

  // Queries beyond the last repeat it and are not written. The softmax works with powers of 2.
  const float scale = a.scale * 1.44269504F;
  for (int i = thread; i < S::kQueries * S::kParts; i += kTileThreads) {
    const int query = i / S::kParts;
    const int64_t offset = offset_of(min(tile.first + query, tile.queries - 1));
    const float4 q = *reinterpret_cast<const float4*>(a.q + offset + i % S::kParts * 4);
    *reinterpret_cast<float4*>(queries + key_place<S>(query, i % S::kParts)) = {
        round_tf32(__fmul_rn(q.x, scale)), round_tf32(__fmul_rn(q.y, scale)),
        round_tf32(__fmul_rn(q.z, scale)), round_tf32(__fmul_rn(q.w, scale))};
  }

  const int g = thread % kWarp / 4;
  const int t = thread % 4;
  const int warp_query = thread / kWarp * S::kWarpQueries;
  const int window = a.window > 0 ? a.window : INT_MAX;
  const int lowest = position_of(tile.first + warp_query);  // of the warp's queries
  const int highest = position_of(tile.first + warp_query + S::kWarpQueries - 1);
  int last[S::kTiles][2];  // keys that the lane's queries see
  TileSoftmax<S> state;
#pragma unroll
  for (int m = 0; m < S::kTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      last[m][half] = position_of(tile.first + warp_query + 16 * m + 8 * half + g);
      state.max[m][half] = -INFINITY;
      state.sum[m][half] = 0;
    }
#pragma unroll
    for (int n = 0; n < S::kHeadDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) state.mixed[m][n][i] = 0;
    }
  }
  LeftOperands held[S::kHoldsQueries ? S::kHeadDim / 16 : 1];
  if constexpr (S::kHoldsQueries) {
    __syncthreads();
#pragma unroll
    for (int depth = 0; depth < S::kHeadDim / 16; ++depth)
      held[depth] = load_left<S>(queries, warp_query + g, depth, t);
  }

  for (; first < end; first += kBlockKeys) {
    const bool sees_any = first <= highest && first + kBlockKeys > lowest - (window - 1);
    const bool sees_all = first + kBlockKeys - 1 <= lowest && first >= highest - (window - 1);
    wait_for_copies<0>();
    __syncthreads();  // the keys (and queries) are there, and the last values have been read
    begin_block<S, true>(a, pages, kv_head, first, begin, end, values);
    commit_copies();

    TileScores<S> scores;
    if (sees_any) {
      multiply_keys<S>(held, queries, keys, warp_query, g, t, scores);
      if (!sees_all) mask<S>(last, window, first, t, scores);
    }
    __syncthreads();  // the keys have been read
    if (first + kBlockKeys < end) {
      begin_block<S, false>(a, pages, kv_head, first + kBlockKeys, begin, end, keys);
    }
    commit_copies();
    if (sees_any) to_weights<S>(scores, state);
    wait_for_copies<1>();
    __syncthreads();  // the values are there
    if (sees_any) mix<S>(scores, values, g, t, state);
  }
  wait_for_copies<0>();

#pragma unroll
  for (int m = 0; m < S::kTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = state.sum[m][half];
      sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffff, sum, 1));
      sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffff, sum, 2));
      const float share = 1.0F / sum;
      const int query = tile.first + warp_query + 16 * m + 8 * half + g;
      if (query < tile.queries) write_query<S>(state, m, half, share, t, a.out + offset_of(query));
    }
  }
}

/// Tiles that any ragged step of this size may have, at least one.
template <typename S>
int most_tiles(const PagedAttention& a) {
  const int64_t queries = int64_t{a.rows} * (a.heads / a.kv_heads);
  const int64_t sequences = a.sequences < a.rows ? a.sequences : a.rows;
  return static_cast<int>(queries / S::kQueries + (sequences > 0 ? sequences : 1));
}

template <typename S>
void run(const Gpu& gpu, const PagedAttention& a) {
  const int tiles = most_tiles<S>(a);
  cudaFuncSetAttribute(attend_tile<S>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                       static_cast<int>(S::kSharedBytes));
  attend_tile<S>
      <<<static_cast<unsigned>(int64_t{tiles} * a.kv_heads), kTileThreads, S::kSharedBytes, gpu.stream>>>(
          a, tiles);
}

/// Small tiles where large ones would leave multiprocessors idle: both give a query the same bits.
template <int kHeadDim>
void run_tiles(const Gpu& gpu, const PagedAttention& a) {
  using Large = TileShape<kHeadDim, 2>;
  const int64_t blocks = int64_t{most_tiles<Large>(a)} * a.kv_heads;
  if (blocks >= int64_t{2} * gpu.multiprocessors) return run<Large>(gpu, a);
  run<TileShape<kHeadDim, 1>>(gpu, a);
}

}  // namespace

bool has_tf32_attention(int64_t head_dim) {
  return head_dim == 16 || head_dim == 64 || head_dim == 80 || head_dim == 96 || head_dim == 128 ||
         head_dim == 256;
}

void run_attention_tf32(const Gpu& gpu, const PagedAttention& a) {
  switch (a.head_dim) {
    case 16:
      return run_tiles<16>(gpu, a);
    case 64:
      return run_tiles<64>(gpu, a);
    case 80:
      return run_tiles<80>(gpu, a);
    case 96:
      return run_tiles<96>(gpu, a);
    case 128:
      return run_tiles<128>(gpu, a);
    case 256:
      return run<TileShape<256, 1>>(gpu, a);
    default:
      return;  // has_tf32_attention()
  }
}

}  // namespace ingot::cuda
