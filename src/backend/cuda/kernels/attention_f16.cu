// Attention for prompts on Hopper's tensor cores (flash attention; Shah et al., 2024).
//
// Queries are numbered row by row and in a row head by head of the key head's group. A warpgroup has 64 of
// them, and multiplies: while one product with values is in progress, and the next one with keys, it turns
// scores into weights. Two warpgroups take turns at beginning products, so that one's weights fall into the
// other's products. Tiles of keys follow each other from the first that the block's queries see. One that a
// query does not see leaves its sums as they are, so the query's bits depend neither on its place in the
// block nor on how a prompt is cut; and on the block that comes to have it, nothing depends.
#include <algorithm>
#include <climits>
#include <cmath>

#include "backend/cuda/kernels/attention_f16_products.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

/// What a warpgroup that multiplies does.
template <class S>
__device__ __forceinline__ void attend(const F16Pass& pass, FlashShared& shared, float* query_scales,
                                       char* panels) {
  using Tile = typename S::Tile;
  const PagedAttention& a = pass.attention;
  const int thread = static_cast<int>(threadIdx.x);
  const int group = a.heads / a.kv_heads;
  const int window = a.window > 0 ? a.window : INT_MAX;
  const int warpgroup = thread / kGroupThreads;
  const int warp_query = thread / kWarp * 16;  // the warp's first
  const int g = thread % kWarp / 4;
  const int t = thread % 4;
  const Turns<S> turns{warpgroup};
  turns.begin();

  char* own_panels = panels + warpgroup * S::kPanelBytes;
  const uint64_t queries = panel_operand(shared_address(own_panels));
  const auto keys_in = [&](int stage) {
    return panel_operand(shared_address(panels + S::kStages) + stage * 2 * Tile::kHalfBytes);
  };
  const auto values_in = [&](int stage) {
    return panel_operand(shared_address(panels + S::kStages) + (stage * 2 + 1) * Tile::kHalfBytes,
                         kF16TileKeys * kPanelRowBytes);
  };
  const auto take_tile = [&](int taken) {
    const int slot = taken % kTileStages;
    wait_for_phase(&shared.tile_there[slot], taken / kTileStages % 2);
    const HeadTile tile = shared.tiles[slot];
    arrive_warp(&shared.tile_read[slot]);
    return tile;
  };
  const auto take_queries = [&](const QueryTile& tile, int taken) {
    wait_for_team(1 + warpgroup, kGroupThreads);  // the panels have been read
    wait_for_phase(&shared.queries_there, taken % 2);
    scale_queries<S>(a.scale * 1.44269504F,  // the softmax works with powers of 2
                     reinterpret_cast<const float*>(panels + S::kRaw), tile.queries - 1 - tile.first,
                     warp_query, own_panels, query_scales);
    arrive_warp(&shared.queries_read);
    show_shared_writes();
    wait_for_team(1 + warpgroup, kGroupThreads);
  };

  float mixed[S::kHeadDim / 2];
  float scores[kF16Scores];
  uint32_t weights[kF16Scores / 2];
  float rescale[2];
  int step = 0;  // tiles of keys so far
  HeadTile next = take_tile(0);
  if (next.tile.sequence >= 0) {
    take_queries(next.tile, 0);
    wait_for_inputs();  // what the copying warp has waited for, too
    wait_for_phase(&shared.keys_there[0], 0);
    begin_scores<S>(queries, keys_in(0), scores);
    wait_for_products<0>();
    hold(scores);
  }
#pragma unroll 1
  for (int taken = 1; next.tile.sequence >= 0; ++taken) {  // a tile whose first scores are there
    const HeadTile current = next;
    const QueryTile& tile = current.tile;
    const int lowest = position_of(tile, group, tile.first + warp_query);  // of the warp's queries
    const int highest = position_of(tile, group, tile.first + warp_query + 15);
    const int last[2] = {position_of(tile, group, tile.first + warp_query + g),
                         position_of(tile, group, tile.first + warp_query + g + 8)};
    F16Rows rows;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      rows.scale[half] = query_scales[warp_query + g + 8 * half];
      rows.max[half] = -INFINITY;
      rows.sum[half] = 0;
    }
#pragma unroll
    for (float& x : mixed) x = 0;
    const char* source = keys_of_head(pass, tile.sequence, current.head, Tile::kBytes);
    const auto weigh = [&](int i, bool is_usual) {
      const int first = i * kF16TileKeys;
      const bool sees_all = first + kF16TileKeys - 1 <= lowest && first > highest - window;
      if (is_usual) {
        if (!sees_all) mask(last, window, first, t, scores);
        return to_weights<true>(nullptr, t, rows, scores, rescale);
      }
      const auto* scales =
          reinterpret_cast<const KeyScales*>(source + int64_t{i} * Tile::kBytes + Tile::kScales);
      apply_scales(scales, t, rows, scores);
      if (!sees_all) mask(last, window, first, t, scores);
      return to_weights<false>(scales, t, rows, scores, rescale);
    };
    const auto pack = [&] {
#pragma unroll
      for (int i = 0; i < kF16Scores / 2; ++i) weights[i] = two_halves(scores[2 * i], scores[2 * i + 1]);
    };

    const KeyRange keys = keys_of(a, tile, group, S::kQueries);
    int stage = step % kKeyStages;
    int phase = step / kKeyStages % 2;
    bool is_usual = shared.is_usual(stage);
    arrive_warp(&shared.keys_read[stage]);
    weigh(keys.begin, is_usual);
    pack();
#pragma unroll 1
    for (int i = keys.begin + 1; i < keys.end; ++i) {
      const int next_stage = stage ^ 1;
      const int next_phase = phase ^ stage;
      wait_for_phase(&shared.keys_there[next_stage], next_phase);
      turns.wait();
      begin_scores<S>(queries, keys_in(next_stage), scores);
      wait_for_phase(&shared.values_there[stage], phase);
      begin_mixing<S>(weights, values_in(stage), mixed);
      turns.pass_on();
      is_usual = shared.is_usual(next_stage);
      wait_for_products<1>();
      hold(scores);
      arrive_warp(&shared.keys_read[next_stage]);
      const bool grows = weigh(i, is_usual);
      wait_for_products<0>();
      hold(mixed);
      hold(weights);
      arrive_warp(&shared.values_read[stage]);
      if (__any_sync(~0U, grows)) {  // times one is what it was: only time is saved
#pragma unroll
        for (int k = 0; k < S::kHeadDim / 2; ++k) mixed[k] = __fmul_rn(mixed[k], rescale[k % 4 / 2]);
      }
      pack();
      stage = next_stage;
      phase = next_phase;
    }
    // The next tile's queries come to panels beside the last products with values, and while its first
    // products with keys are in progress this one's sums are written.
    wait_for_phase(&shared.values_there[stage], phase);
    begin_mixing<S>(weights, values_in(stage), mixed);
    next = take_tile(taken);
    const bool goes_on = next.tile.sequence >= 0;
    if (goes_on) take_queries(next.tile, taken);
    wait_for_products<0>();
    hold(mixed);
    hold(weights);
    arrive_warp(&shared.values_read[stage]);
    step += keys.end - keys.begin;
    const int kv_head = pass.first_head + current.head;
    if (!goes_on) {
      write_queries<S>(a, tile, kv_head, group, warp_query + g, rows, mixed);
      break;
    }
    stage = step % kKeyStages;
    wait_for_phase(&shared.keys_there[stage], step / kKeyStages % 2);
    begin_scores<S>(queries, keys_in(stage), scores);
    write_queries<S>(a, tile, kv_head, group, warp_query + g, rows, mixed);
    wait_for_products<0>();
    hold(scores);
  }
  turns.end();
}

/// grid: at most one block a multiprocessor.
template <class S>
__global__ void __launch_bounds__(S::kThreads, 1) attend_f16(const __grid_constant__ F16Pass pass) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ char shared_bytes[];
  __shared__ FlashShared shared;
  __shared__ float query_scales[S::kQueries];
  char* panels = shared_bytes + (-shared_address(shared_bytes) & 1023);  // and stages, and raw queries
  if (threadIdx.x == 0) shared.begin(S::kGroups * kGroupThreads / kWarp);
  __syncthreads();
  if (pass.query_tiles == 0) wait_for_inputs();  // then any kernel may be ahead
  if (pass.clears_padding) clear_padding(pass.attention, rows_of_sequences(pass.attention));
  if (threadIdx.x >= S::kGroups * kGroupThreads) {
    give_registers<S>();
    if (threadIdx.x / kWarp == S::kGroups * kGroupThreads / kWarp) bring<S>(pass, shared, panels);
    wait_for_inputs();
  } else {
    take_registers<S>();
    attend<S>(pass, shared, query_scales, panels);
  }
#endif
}

template <class S>
void run(const Gpu& gpu, F16Pass pass) {
  // Tiles that any ragged step of this size may have, at least one.
  const PagedAttention& a = pass.attention;
  const int64_t queries = int64_t{a.rows} * (a.heads / a.kv_heads);
  const int64_t sequences = std::max(1, std::min(a.sequences, a.rows));
  pass.query_tiles = pass.has_tiles() ? static_cast<int>(queries / S::kQueries + sequences) : 0;
  const int64_t blocks = std::clamp<int64_t>(int64_t{pass.query_tiles} * pass.heads, 1, gpu.multiprocessors);
  cudaFuncSetAttribute(attend_f16<S>, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kSharedBytes);
  launch_overlapped(
      gpu, attend_f16<S>,
      {.blocks = static_cast<unsigned>(blocks), .threads = S::kThreads, .shared_bytes = S::kSharedBytes},
      pass);
}

/// Small tiles where large ones would leave multiprocessors idle: all give a query the same bits.
template <int kHeadDim>
void run_shape(const Gpu& gpu, const F16Pass& pass) {
  const PagedAttention& a = pass.attention;
  const int64_t queries = int64_t{a.rows} * (a.heads / a.kv_heads) * pass.heads;
  const int64_t of_each = divide_up(queries, gpu.multiprocessors);
  if constexpr (kHeadDim == 64) {  // sums of three warpgroups fit registers
    if (of_each > 3 * kGroupQueries) return run<FlashShape<kHeadDim, 3>>(gpu, pass);
  }
  if (of_each > kGroupQueries) return run<FlashShape<kHeadDim, 2>>(gpu, pass);
  run<FlashShape<kHeadDim, 1>>(gpu, pass);
}

}  // namespace

bool has_f16_attention(const Gpu& gpu, int64_t head_dim) {
  if (gpu.compute_capability != 90 || (head_dim != 64 && head_dim != 128)) return false;
  // Code for sm_90, unlike that for sm_90a, has an empty kernel.
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, attend_f16<FlashShape<128, 2>>) == cudaSuccess &&
         attributes.sharedSizeBytes > 0;
}

void run_f16_pass(const Gpu& gpu, const F16Pass& pass) {
  pass.attention.head_dim == 64 ? run_shape<64>(gpu, pass) : run_shape<128>(gpu, pass);
}

}  // namespace ingot::cuda
