// Attention for prompts on tensor cores (flash attention; Dao, 2023): one block for a tile of queries of one
// sequence and key head.
//
// Queries are numbered row by row and in a row head by head of the key head's group, so that a whole group
// shares what is read of the cache. Keys come in blocks of 32, which lie at multiples of 32 from the
// sequence's start and follow each other from the first that the tile sees. A block that a query does not see
// leaves its sums as they are, so the query's bits depend neither on its tile nor on how a prompt is cut.
//
// Operands lie in shared memory as rows of 16-byte parts. The depth of a product may be numbered at will, as
// long as both sides agree: a lane reads four neighbours at once and takes them for the depths t and t + 4 of
// two products. For the values it is the columns that are renumbered. Parts are swizzled so that the lanes
// that read together meet different banks.
#include <climits>
#include <cmath>

#include "backend/cuda/kernels/async_copies.cuh"
#include "backend/cuda/kernels/attention_rows.cuh"
#include "backend/cuda/kernels/attention_tf32.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int kKeys = 32;

/// kTiles_: of 16 queries that a warp has.
template <int kHeadDim_, int kTiles_>
struct Shape {
  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kTiles = kTiles_;
  static constexpr int kWarpQueries = 16 * kTiles;
  static constexpr int kQueries = kWarps * kWarpQueries;
  static constexpr int kParts = kHeadDim / 4;                // of 16 bytes in a row
  static constexpr int kStride = (kHeadDim + 31) / 32 * 32;  // floats from a row to the next in shared memory
  static constexpr int kColumns = kHeadDim % 32 == 0 ? 4 : 2;  // neighbours of a value that a lane reads
  /// Queries are read once where registers have room for them.
  static constexpr bool kHoldsQueries = kTiles == 1 && kHeadDim <= 128;
  static constexpr size_t kSharedBytes = (kQueries + 2 * kKeys) * kStride * sizeof(float);
  static constexpr int kBlocks = kSharedBytes > 110 * 1024 ? 1 : 2;  // of a multiprocessor
  static_assert(kHeadDim % 16 == 0);
};

/// Where a part of a row lies, in floats. Lanes that read queries or keys together have rows of both
/// parities.
template <typename S>
__device__ int key_place(int row, int part) {
  return row * S::kStride + ((part ^ ((row & 1) << 2)) << 2);
}
/// Lanes that read values together have the rows 2t, or 2t + 1, for t < 4.
template <typename S>
__device__ int value_place(int row, int part) {
  return row * S::kStride + ((part ^ (((row >> 1) & 3) << 1)) << 2);
}

/// A block's queries, and the positions of its sequence.
struct Tile {
  int sequence;  // -1: none
  int first;     // query
  int queries;   // of the sequence
  int row;       // the sequence's first
  int position;  // of that row
};

/// Tiles are numbered through the sequences.
__device__ void find_tile(const PagedAttention& a, int group, int tile_queries, int tile, Tile& shared) {
  if (threadIdx.x < kWarp) {
    const int lane = static_cast<int>(threadIdx.x);
    if (lane == 0) shared.sequence = -1;
    __syncwarp();
    int before = 0;  // tiles of the sequences up to here
    for (int s = lane; s - lane < a.sequences && before <= tile; s += kWarp) {
      const int row = s < a.sequences ? a.seq_start[s] : 0;
      const int rows = s < a.sequences ? a.seq_start[s + 1] - row : 0;
      const int tiles = (rows * group + tile_queries - 1) / tile_queries;
      int end = tiles;
#pragma unroll
      for (int step = 1; step < kWarp; step *= 2) {
        const int add = __shfl_up_sync(0xffffffff, end, step);
        if (lane >= step) end += add;
      }
      end += before;
      if (end - tiles <= tile && tile < end) {
        shared = {.sequence = s,
                  .first = (tile - (end - tiles)) * tile_queries,
                  .queries = rows * group,
                  .row = row,
                  .position = a.context_len[s] - rows};
      }
      before = __shfl_sync(0xffffffff, end, kWarp - 1);
    }
  }
  __syncthreads();
}

/// Begins to copy a block of keys or values; what lies outside of the tile's view becomes zero.
template <typename S, bool kIsValues>
__device__ void ask(const PagedAttention& a, const int32_t* pages, int kv_head, int first, int begin, int end,
                    float* shared) {
  const float* cache = kIsValues ? a.values : a.keys;
  const auto copy = [&](int i, auto&& offset_of) {
    const int item = i * kThreads + static_cast<int>(threadIdx.x);
    const int row = item / S::kParts;
    const int part = item % S::kParts;
    const int key = first + row;
    const int place = kIsValues ? value_place<S>(row, part) : key_place<S>(row, part);
    copy_async<16>(shared + place, cache + offset_of(row) + part * 4, begin <= key && key < end);
  };
  constexpr int kCopies = kKeys * S::kParts / kThreads;
  if (a.page_tokens % kKeys == 0) {
    const int64_t page = cache_offset(a, pages, kv_head, first);
#pragma unroll
    for (int i = 0; i < kCopies; ++i) copy(i, [&](int row) { return page + row * S::kHeadDim; });
  } else {
#pragma unroll 1
    for (int i = 0; i < kCopies; ++i) {
      copy(i,
           [&](int row) { return cache_offset(a, pages, kv_head, max(begin, min(first + row, end - 1))); });
    }
  }
}

/// Four queries' parts of a depth of 16 for the two products that it takes: [which][left operand].
struct Left {
  float values[2][4];
};
template <typename S>
__device__ Left load_left(const float* queries, int row, int depth, int t) {
  const float4 low = *reinterpret_cast<const float4*>(queries + key_place<S>(row, 4 * depth + t));
  const float4 high = *reinterpret_cast<const float4*>(queries + key_place<S>(row + 8, 4 * depth + t));
  return {{{low.x, high.x, low.y, high.y}, {low.z, high.z, low.w, high.w}}};
}

/// Softmaxes of a lane's queries in progress; queries g and g + 8 of each tile of 16.
template <typename S>
struct Softmax {
  float max[S::kTiles][2];
  float sum[S::kTiles][2];  // of the lane's own keys
};

/// Scores, in units of log 2, to weights in tf32. Returns whether what is mixed has to be multiplied by
/// `rescale`.
template <typename S>
__device__ bool to_weights(float (&scores)[S::kTiles][kKeys / 8][4], Softmax<S>& state,
                           float (&rescale)[S::kTiles][2]) {
  bool grows = false;
#pragma unroll
  for (int tile = 0; tile < S::kTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float max = state.max[tile][half];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n)
        max = fmaxf(max, fmaxf(scores[tile][n][2 * half], scores[tile][n][2 * half + 1]));
      max = fmaxf(max, __shfl_xor_sync(0xffffffff, max, 1));
      max = fmaxf(max, __shfl_xor_sync(0xffffffff, max, 2));
      // A query that has seen no key yet has the maximum -inf, and -inf - -inf is not a number.
      const float base = max == -INFINITY ? 0.0F : max;
      const float scale = exp2_fast(__fsub_rn(state.max[tile][half], base));
      float sum = 0;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          scores[tile][n][i] = exactly_tf32(exp2_fast(__fsub_rn(scores[tile][n][i], base)));
          sum = __fadd_rn(sum, scores[tile][n][i]);
        }
      }
      state.max[tile][half] = max;
      state.sum[tile][half] = fmaf(state.sum[tile][half], scale, sum);
      rescale[tile][half] = scale;
      grows |= scale != 1.0F;
    }
  }
  return __any_sync(0xffffffff, grows) != 0;
}

/// mixed += weights * values for one block of keys.
template <typename S>
__device__ void mix(const float (&weights)[S::kTiles][kKeys / 8][4], const float* values, int g, int t,
                    float (&mixed)[S::kTiles][S::kHeadDim / 8][4]) {
  constexpr int kColumns = S::kColumns;
#pragma unroll
  for (int n = 0; n < kKeys / 8; ++n) {
    // The columns 2t and 2t + 1 of the weights serve as the depths t and t + 4.
    float left[S::kTiles][4];
#pragma unroll
    for (int tile = 0; tile < S::kTiles; ++tile) {
      left[tile][0] = weights[tile][n][0];
      left[tile][1] = weights[tile][n][2];
      left[tile][2] = weights[tile][n][1];
      left[tile][3] = weights[tile][n][3];
    }
#pragma unroll
    for (int block = 0; block < S::kHeadDim / (8 * kColumns); ++block) {
      float right[2][kColumns];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = 8 * n + 2 * t + i;
        if constexpr (kColumns == 4) {
          const float4 v = *reinterpret_cast<const float4*>(values + value_place<S>(row, 8 * block + g));
          right[i][0] = round_tf32(v.x);
          right[i][1] = round_tf32(v.y);
          right[i][2] = round_tf32(v.z);
          right[i][3] = round_tf32(v.w);
        } else {
          const float2 v = *reinterpret_cast<const float2*>(
              values + value_place<S>(row, 4 * block + (g >> 1)) + 2 * (g & 1));
          right[i][0] = round_tf32(v.x);
          right[i][1] = round_tf32(v.y);
        }
      }
#pragma unroll
      for (int column = 0; column < kColumns; ++column) {
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile)
          multiply_add(mixed[tile][block * kColumns + column], left[tile], right[0][column],
                       right[1][column]);
      }
    }
  }
}

/// grid: [tiles, kv_heads], the heads fastest and the last tiles, which have the most keys, first.
template <typename S>
__global__ void __launch_bounds__(kThreads, S::kBlocks) attend_tile(const PagedAttention a, const int tiles) {
  extern __shared__ float4 shared_parts[];
  __shared__ Tile tile;
  auto* queries = reinterpret_cast<float*>(shared_parts);  // [kQueries, kStride]
  float* keys = queries + S::kQueries * S::kStride;        // [kKeys, kStride]
  float* values = keys + kKeys * S::kStride;               // likewise

  const int thread = static_cast<int>(threadIdx.x);
  const int group = a.heads / a.kv_heads;
  const int kv_head = static_cast<int>(blockIdx.x) % a.kv_heads;
  clear_padding(a);
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
  int first = begin / kKeys * kKeys;
  ask<S, false>(a, pages, kv_head, first, begin, end, keys);
  commit_copies();

  // Queries beyond the last repeat it and are not written. The softmax works with powers of 2.
  const float scale = a.scale * 1.44269504F;
  for (int i = thread; i < S::kQueries * S::kParts; i += kThreads) {
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
  float mixed[S::kTiles][S::kHeadDim / 8][4];
  Softmax<S> state;
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
      for (int i = 0; i < 4; ++i) mixed[m][n][i] = 0;
    }
  }
  Left held[S::kHoldsQueries ? S::kHeadDim / 16 : 1];
  if constexpr (S::kHoldsQueries) {
    __syncthreads();
#pragma unroll
    for (int depth = 0; depth < S::kHeadDim / 16; ++depth)
      held[depth] = load_left<S>(queries, warp_query + g, depth, t);
  }

  for (; first < end; first += kKeys) {
    const bool sees_any = first <= highest && first + kKeys > lowest - (window - 1);
    const bool sees_all = first + kKeys - 1 <= lowest && first >= highest - (window - 1);
    wait_for_copies<0>();
    __syncthreads();  // the keys (and queries) are there, and the last values have been read
    ask<S, true>(a, pages, kv_head, first, begin, end, values);
    commit_copies();

    float scores[S::kTiles][kKeys / 8][4];
    if (sees_any) {
#pragma unroll
      for (int m = 0; m < S::kTiles; ++m) {
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) scores[m][n][i] = 0;
        }
      }
#pragma unroll
      for (int depth = 0; depth < S::kHeadDim / 16; ++depth) {
        Left left[S::kTiles];
#pragma unroll
        for (int m = 0; m < S::kTiles; ++m)
          left[m] = S::kHoldsQueries ? held[depth] : load_left<S>(queries, warp_query + 16 * m + g, depth, t);
        float right[kKeys / 8][4];
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
          const float4 k = *reinterpret_cast<const float4*>(keys + key_place<S>(8 * n + g, 4 * depth + t));
          right[n][0] = round_tf32(k.x);
          right[n][1] = round_tf32(k.y);
          right[n][2] = round_tf32(k.z);
          right[n][3] = round_tf32(k.w);
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
#pragma unroll
          for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
            for (int m = 0; m < S::kTiles; ++m)
              multiply_add(scores[m][n], left[m].values[half], right[n][2 * half], right[n][2 * half + 1]);
          }
        }
      }
      if (!sees_all) {
#pragma unroll
        for (int m = 0; m < S::kTiles; ++m) {
#pragma unroll
          for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              const int behind = last[m][i / 2] - (first + 8 * n + 2 * t + i % 2);
              if (behind < 0 || behind >= window) scores[m][n][i] = -INFINITY;
            }
          }
        }
      }
    }
    __syncthreads();  // the keys have been read
    if (first + kKeys < end) {
      ask<S, false>(a, pages, kv_head, first + kKeys, begin, end, keys);
    }
    commit_copies();
    if (sees_any) {
      float rescale[S::kTiles][2];
      if (to_weights<S>(scores, state, rescale)) {
#pragma unroll
        for (int m = 0; m < S::kTiles; ++m) {
#pragma unroll
          for (int n = 0; n < S::kHeadDim / 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) mixed[m][n][i] = __fmul_rn(mixed[m][n][i], rescale[m][i / 2]);
          }
        }
      }
    }
    wait_for_copies<1>();
    __syncthreads();  // the values are there
    if (sees_any) mix<S>(scores, values, g, t, mixed);
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
      if (query >= tile.queries) continue;
      float* out = a.out + offset_of(query);
      // Adding 0 gives -0 the sign that adding unseen values may have given it or not.
      const auto value = [&](int n, int i) { return fmaf(mixed[m][n][2 * half + i], share, 0.0F); };
      if constexpr (S::kColumns == 4) {
#pragma unroll
        for (int block = 0; block < S::kHeadDim / 32; ++block) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            const int n = 4 * block;
            *reinterpret_cast<float4*>(out + 32 * block + 8 * t + 4 * i) = {value(n, i), value(n + 1, i),
                                                                            value(n + 2, i), value(n + 3, i)};
          }
        }
      } else {
#pragma unroll
        for (int block = 0; block < S::kHeadDim / 16; ++block) {
          const int n = 2 * block;
          *reinterpret_cast<float4*>(out + 16 * block + 4 * t) = {value(n, 0), value(n + 1, 0), value(n, 1),
                                                                  value(n + 1, 1)};
        }
      }
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
      <<<static_cast<unsigned>(int64_t{tiles} * a.kv_heads), kThreads, S::kSharedBytes, gpu.stream>>>(a,
                                                                                                      tiles);
}

/// Small tiles where large ones would leave multiprocessors idle: both give a query the same bits.
template <int kHeadDim>
void run_tiles(const Gpu& gpu, const PagedAttention& a) {
  using Large = Shape<kHeadDim, 2>;
  const int64_t blocks = int64_t{most_tiles<Large>(a)} * a.kv_heads;
  if (blocks >= int64_t{2} * gpu.multiprocessors) return run<Large>(gpu, a);
  run<Shape<kHeadDim, 1>>(gpu, a);
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
      return run<Shape<256, 1>>(gpu, a);
    default:
      return;  // has_tf32_attention()
  }
}

}  // namespace ingot::cuda
