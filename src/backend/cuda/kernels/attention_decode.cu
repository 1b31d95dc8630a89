// Attention for generated tokens (flash decoding): blocks take the pieces that rows' keys are split
// into, each for one key head.
//
// A few lanes hold one key: the block's queries of the head's whole group, and what they mix, stay in those
// lanes' registers, so that keys and values are read once for all of them. Each thread copies its own parts
// of the keys ahead into a ring in shared memory that only it reads: no barrier stands in the loop. Groups of
// lanes keep softmaxes of their own, which are joined in order at the end.
#include <cmath>

#include "backend/cuda/kernels/async_copies.cuh"
#include "backend/cuda/kernels/attention_pieces.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kBlocks = 2;  // of a multiprocessor

/// kHeads: query heads at once. kLanes: that hold a key. kKeys: that a group of lanes takes at a time.
/// kStages: of the ring.
template <int kHeadDim_, int kHeads_, int kLanes_, int kKeys_, int kStages_>
struct Shape {
  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kHeads = kHeads_;
  static constexpr int kLanes = kLanes_;
  static constexpr int kKeys = kKeys_;
  static constexpr int kStages = kStages_;
  static constexpr int kParts = kHeadDim / (4 * kLanes);  // of 16 bytes that a lane has of a row
  static constexpr int kGroups = kThreads / kLanes;
  static constexpr int kStageKeys = kGroups * kKeys;
  static constexpr int kStageParts = 2 * kKeys * kParts;  // keys', then values'
  static constexpr size_t kRingBytes = size_t{kStages} * kStageParts * kThreads * sizeof(float4);
  static_assert(kParts * 4 * kLanes == kHeadDim && kHeads * kParts <= kStages * kStageParts);
};

__device__ float dot4(float4 a, float4 b, float sum) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}
__device__ float4 scaled(float4 a, float scale) {
  return {__fmul_rn(a.x, scale), __fmul_rn(a.y, scale), __fmul_rn(a.z, scale), __fmul_rn(a.w, scale)};
}
__device__ float4 add4(float4 sum, float4 a, float weight) {
  return {fmaf(weight, a.x, sum.x), fmaf(weight, a.y, sum.y), fmaf(weight, a.z, sum.z),
          fmaf(weight, a.w, sum.w)};
}

/// One piece for the query heads from `head_in_group` on of a key head.
template <typename S>
__device__ void attend_piece(const PagedAttention& a, const SplitSums& sums, const AttentionPiece& piece,
                             int kv_head, int head_in_group, float4* ring,
                             float2 (&stats)[S::kHeads][S::kGroups]) {
  const int thread = static_cast<int>(threadIdx.x);
  const int group = a.heads / a.kv_heads;
  const int heads = min(S::kHeads, group - head_in_group);
  const int64_t first_head = static_cast<int64_t>(piece.row) * a.heads + kv_head * group + head_in_group;
  const int keys = piece.place.keys();
  const int shift = split_shift(keys);
  const bool is_whole = splits_of(keys) == 1;
  const int begin = piece.place.first + (piece.split << shift);
  const int count = min(1 << shift, keys - (piece.split << shift));
  const int32_t* pages = a.block_table + static_cast<int64_t>(piece.place.sequence) * a.pages;

  const int lane = thread % S::kLanes;
  const int own_group = thread / S::kLanes;
  const int stages = (count + S::kStageKeys - 1) / S::kStageKeys;
  const auto key_of = [&](int stage, int k) { return stage * S::kStageKeys + k * S::kGroups + own_group; };
  const auto ask = [&](int stage) {
    if (stage < stages) {
      int64_t offsets[S::kKeys];
#pragma unroll
      for (int k = 0; k < S::kKeys; ++k) {
        const int key = min(key_of(stage, k), count - 1);
        offsets[k] = cache_offset(a, pages, kv_head, begin + key) + 4 * lane;
      }
      float4* to = ring + stage % S::kStages * S::kStageParts * kThreads + thread;
#pragma unroll
      for (int of = 0; of < 2; ++of) {
        const float* cache = of == 0 ? a.keys : a.values;
#pragma unroll
        for (int k = 0; k < S::kKeys; ++k) {
#pragma unroll
          for (int part = 0; part < S::kParts; ++part) {
            const int at = (of * S::kKeys + k) * S::kParts + part;
            copy_async<16>(to + at * kThreads, cache + offsets[k] + part * 4 * S::kLanes,
                           key_of(stage, k) < count);
          }
        }
      }
    }
    commit_copies();
  };
#pragma unroll
  for (int stage = 0; stage < S::kStages - 1; ++stage) ask(stage);

  float4 query[S::kHeads][S::kParts];
  float4 mixed[S::kHeads][S::kParts];
  float highest[S::kHeads];
  float sum[S::kHeads];
#pragma unroll
  for (int h = 0; h < S::kHeads; ++h) {
    // Heads beyond the group repeat its last one and are not written.
    const float* from = a.q + (first_head + min(h, heads - 1)) * S::kHeadDim + 4 * lane;
#pragma unroll
    for (int part = 0; part < S::kParts; ++part) {
      query[h][part] = *reinterpret_cast<const float4*>(from + part * 4 * S::kLanes);
      mixed[h][part] = {0, 0, 0, 0};
    }
    highest[h] = -INFINITY;
    sum[h] = 0;
  }

  for (int stage = 0; stage < stages; ++stage) {
    ask(stage + S::kStages - 1);
    wait_for_copies<S::kStages - 1>();
    const float4* own = ring + stage % S::kStages * S::kStageParts * kThreads + thread;
    float score[S::kKeys][S::kHeads];
#pragma unroll
    for (int k = 0; k < S::kKeys; ++k) {
#pragma unroll
      for (int h = 0; h < S::kHeads; ++h) score[k][h] = 0;
#pragma unroll
      for (int part = 0; part < S::kParts; ++part) {
        const float4 key = own[(k * S::kParts + part) * kThreads];
#pragma unroll
        for (int h = 0; h < S::kHeads; ++h) score[k][h] = dot4(query[h][part], key, score[k][h]);
      }
#pragma unroll
      for (int other = S::kLanes / 2; other > 0; other /= 2) {
#pragma unroll
        for (int h = 0; h < S::kHeads; ++h)
          score[k][h] = __fadd_rn(score[k][h], __shfl_xor_sync(0xffffffff, score[k][h], other));
      }
    }
    float rescale[S::kHeads];
    bool grows = false;
#pragma unroll
    for (int h = 0; h < S::kHeads; ++h) {
      float max = highest[h];
#pragma unroll
      for (int k = 0; k < S::kKeys; ++k) {
        score[k][h] = __fmul_rn(score[k][h], a.scale);
        if (key_of(stage, k) < count) max = fmaxf(max, score[k][h]);
      }
      // A group that has seen no key yet has the maximum -inf, and -inf - -inf is not a number.
      rescale[h] = max == highest[h] ? 1.0F : expf(highest[h] - max);
      highest[h] = max;
      float weights = 0;
#pragma unroll
      for (int k = 0; k < S::kKeys; ++k) {
        score[k][h] = key_of(stage, k) < count ? expf(score[k][h] - max) : 0.0F;
        weights = __fadd_rn(weights, score[k][h]);
      }
      sum[h] = fmaf(sum[h], rescale[h], weights);
      grows |= rescale[h] != 1.0F;
    }
    // Times one is what it was: only time is saved.
    if (__any_sync(0xffffffff, grows)) {
#pragma unroll
      for (int h = 0; h < S::kHeads; ++h) {
#pragma unroll
        for (int part = 0; part < S::kParts; ++part) mixed[h][part] = scaled(mixed[h][part], rescale[h]);
      }
    }
#pragma unroll
    for (int k = 0; k < S::kKeys; ++k) {
#pragma unroll
      for (int part = 0; part < S::kParts; ++part) {
        const float4 value = own[((S::kKeys + k) * S::kParts + part) * kThreads];
#pragma unroll
        for (int h = 0; h < S::kHeads; ++h) mixed[h][part] = add4(mixed[h][part], value, score[k][h]);
      }
    }
  }

  // The ring is empty: it takes what the threads have mixed, each in its own places.
  wait_for_copies<0>();
#pragma unroll
  for (int h = 0; h < S::kHeads; ++h) {
#pragma unroll
    for (int part = 0; part < S::kParts; ++part)
      ring[(h * S::kParts + part) * kThreads + thread] = mixed[h][part];
    if (lane == 0) stats[h][own_group] = {highest[h], sum[h]};
  }
  __syncthreads();
  for (int i = thread; i < heads * S::kParts * S::kLanes; i += kThreads) {
    const int h = i / (S::kParts * S::kLanes);
    const int part = i / S::kLanes % S::kParts;
    float max = -INFINITY;
    for (int g = 0; g < S::kGroups; ++g) max = fmaxf(max, stats[h][g].x);
    float total = 0;
    float4 value{0, 0, 0, 0};
#pragma unroll 4
    for (int g = 0; g < S::kGroups; ++g) {
      const float weight = expf(stats[h][g].x - max);
      total = fmaf(weight, stats[h][g].y, total);
      value = add4(value, ring[(h * S::kParts + part) * kThreads + g * S::kLanes + i % S::kLanes], weight);
    }
    const int64_t head = first_head + h;
    const int dim = (part * S::kLanes + i % S::kLanes) * 4;
    if (is_whole) {
      *reinterpret_cast<float4*>(a.out + head * S::kHeadDim + dim) = scaled(value, 1.0F / total);
      continue;
    }
    const int64_t place = head * sums.most_splits + piece.split;
    *reinterpret_cast<float4*>(sums.mixed + place * S::kHeadDim + dim) = value;
    if (dim == 0) sums.stats[place] = {max, total};
  }
}

/// Blocks take pieces in turn: first those of all key heads of a row's first piece.
template <typename S>
__global__ void __launch_bounds__(kThreads, kBlocks)
    attend_pieces(const PagedAttention a, const SplitSums sums, const int chunks) {
  extern __shared__ float4 ring[];  // [stage][part][thread]
  __shared__ float2 stats[S::kHeads][S::kGroups];
  __shared__ PieceSearch<kThreads> search;
  begin_next_kernel();
  clear_padding(a);
  const int of_piece = a.kv_heads * chunks;
  for (int item = static_cast<int>(blockIdx.x); find_piece<kThreads>(a, item / of_piece, search);
       item += static_cast<int>(gridDim.x)) {
    const AttentionPiece piece = search.found;
    attend_piece<S>(a, sums, piece, item % of_piece / chunks, item % chunks * S::kHeads, ring, stats);
    __syncthreads();  // the ring, what was found and the stats have been read
  }
}

template <typename S>
void run(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  const int chunks = static_cast<int>(divide_up(a.heads / a.kv_heads, S::kHeads));
  const int64_t most = int64_t{a.rows} * a.kv_heads * chunks * sums.most_splits;
  const int64_t room = int64_t{kBlocks} * gpu.multiprocessors;
  cudaFuncSetAttribute(attend_pieces<S>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                       static_cast<int>(S::kRingBytes));
  attend_pieces<S><<<static_cast<unsigned>(most < room ? most : room), kThreads, S::kRingBytes, gpu.stream>>>(
      a, sums, chunks);
}

/// Fewer heads at once than the group has: blocks for each part of it.
template <typename One, typename Two, typename Four, typename Eight>
void run_group(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  const int group = a.heads / a.kv_heads;
  if (group <= 1) return run<One>(gpu, a, sums);
  if (group <= 2) return run<Two>(gpu, a, sums);
  if (group <= 4) return run<Four>(gpu, a, sums);
  run<Eight>(gpu, a, sums);
}

}  // namespace

void run_attention_decode(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  switch (a.head_dim) {
    case 16:
      run_group<Shape<16, 1, 4, 2, 4>, Shape<16, 2, 4, 2, 4>, Shape<16, 4, 4, 2, 4>, Shape<16, 8, 4, 2, 4>>(
          gpu, a, sums);
      break;
    case 64:
      run_group<Shape<64, 1, 8, 2, 6>, Shape<64, 2, 8, 2, 6>, Shape<64, 4, 8, 2, 6>, Shape<64, 8, 8, 2, 6>>(
          gpu, a, sums);
      break;
    case 96:
      run_group<Shape<96, 1, 8, 2, 4>, Shape<96, 2, 8, 2, 4>, Shape<96, 4, 8, 2, 4>, Shape<96, 4, 8, 2, 4>>(
          gpu, a, sums);
      break;
    case 128:
      run_group<Shape<128, 1, 8, 2, 3>, Shape<128, 2, 8, 2, 3>, Shape<128, 4, 8, 2, 3>,
                Shape<128, 8, 16, 4, 3>>(gpu, a, sums);
      break;
    case 256:
      run_group<Shape<256, 1, 16, 2, 3>, Shape<256, 2, 16, 2, 3>, Shape<256, 4, 16, 2, 3>,
                Shape<256, 8, 32, 4, 3>>(gpu, a, sums);
      break;
    default:
      run_attention_any(gpu, a, &sums);
  }
  if (sums.most_splits > 1) run_attention_join(gpu, a, sums);
}

}  // namespace ingot::cuda
