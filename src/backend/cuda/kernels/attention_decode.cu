// Attention for generated tokens (flash decoding): teams of threads take the pieces that rows' keys are split
// into, each for one key head. On Hopper teams join pieces through each other's shared memory, elsewhere
// through memory.
#include <algorithm>

#include "backend/cuda/kernels/attention_join.cuh"
#include "backend/cuda/kernels/attention_pieces.cuh"
#include "backend/cuda/kernels/attention_ring.cuh"
#include "backend/cuda/kernels/attention_together.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

/// Puts what a piece comes to into memory.
template <typename S>
struct ToMemory {
  const SplitSums& sums;
  int64_t head;  // of [rows, heads], the item's first
  int split;

  __device__ void begin() const {}
  __device__ void put(int h, int dim, const float4& values, float highest, float sum) const {
    const int64_t place = (head + h) * sums.most_splits + split;
    *reinterpret_cast<float4*>(sums.mixed + place * S::kHeadDim + dim) = values;
    if (dim == 0) sums.stats[place] = {highest, sum};
  }
};

/// Whether these pieces of a row's heads are the last that are done: true for one team alone, whose threads
/// see what the others wrote.
__device__ bool is_last(uint32_t* count, int pieces, int splits, int& shared) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    const bool last = atomicAdd(count, static_cast<uint32_t>(pieces)) + static_cast<uint32_t>(pieces) ==
                      static_cast<uint32_t>(splits);
    if (last) *count = 0;  // nobody else comes
    __threadfence();
    shared = last ? 1 : 0;
  }
  __syncthreads();
  return shared != 0;
}

/// Compute capability 8.0: every block is a team. The last with pieces of a row's heads joins them.
template <typename S>
__global__ void __launch_bounds__(kTeam, kTeams) attend_pieces(const __grid_constant__ Decode decode) {
  extern __shared__ float4 memory[];
  __shared__ PieceScratch<S> scratch;
  __shared__ int last;
  const PagedAttention& a = decode.attention;
  const int thread = static_cast<int>(threadIdx.x);
  begin_next_kernel();
  // Until inputs are there: only what the step was given (linear_overlap.cuh).
  using Walk = PieceWalk<1>;
  Walk walk(a, decode.chunks, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  wait_for_inputs();
  clear_padding(a);
  PieceRing<S, Walk> ring(walk, thread, memory);
  const int group = a.heads / a.kv_heads;
#pragma unroll 1
  while (!walk.done()) {
    const int heads_number = walk.number_of_heads();
    const int splits = walk.splits();
    const PieceItem first = walk.item<S>();
    const int64_t head = int64_t{first.piece.row} * a.heads + first.kv_head * group + first.head_in_group;
    int pieces = 0;
#pragma unroll 1
    do {
      ring.come_to_item(a);
      const PieceItem item = walk.item<S>();
      walk.next(a);
      ring.look_ahead();
      attend_piece<S>(a, item, a.q + head * S::kHeadDim, thread, scratch, ring,
                      ToMemory<S>{decode.sums, head, item.piece.split});
      ++pieces;
    } while (!walk.done() && walk.number_of_heads() == heads_number);
    if (splits == 1 || decode.counts == nullptr) continue;
    if (!is_last(decode.counts + heads_number, pieces, splits, last)) continue;
#pragma unroll 1
    for (int h = thread / kWarp; h < min(S::kHeads, group - first.head_in_group); h += kTeamWarps)
      join_pieces_together<S::kVectors, 16>(a, decode.sums, head + h, splits);
  }
}

/// As many blocks as there are pieces at most, or teams fit. The more items, the fewer teams share each.
template <typename S>
void run_together(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums, int chunks) {
  const int64_t items = int64_t{a.rows} * a.kv_heads * chunks;
  const int64_t most_units = items * divide_up(sums.most_splits, kJoinedAtOnce);
  constexpr int kRingBytes = PieceRing<S, UnitWalk>::kBytes;
  const auto bytes = [](int log_sharing) {
    return kRingBytes + (kJoinedAtOnce >> log_sharing) * static_cast<int>(sizeof(Share<S>));
  };
  // The smallest clusters that leave a team not many more pieces than any would: teams of an item wait for
  // each other (16 rows of 1024 keys on an H200: 48 us with clusters of two, 55 of eight).
  // Clusters do not fill a device: on an H200 some find no place on 8 of its 132 multiprocessors.
  const auto clusters_at_once = [&](int log_sharing) {
    const int fit =
        gpu.shared_bytes_per_block / (bytes(log_sharing) + static_cast<int>(sizeof(PieceScratch<S>)) + 1024);
    const int64_t teams = int64_t{std::max(1, std::min(kTeams, fit))} * gpu.multiprocessors;
    return std::max<int64_t>(1, (log_sharing > 0 ? teams * 15 / 16 : teams) >> log_sharing);
  };
  const auto pieces_of_team = [&](int log_sharing) {
    return divide_up(most_units, clusters_at_once(log_sharing)) * (kJoinedAtOnce >> log_sharing);
  };
  int64_t least = INT64_MAX;
  for (int log = 0; log <= 3; ++log) least = std::min(least, pieces_of_team(log));
  int log_sharing = 0;
  while (pieces_of_team(log_sharing) * 5 > least * 7) ++log_sharing;
  const bool joins = gpu.counters != nullptr && items * kJoinedAtOnce <= kGpuCounters;
  const Decode decode{a, sums, chunks, log_sharing, joins ? gpu.counters : nullptr};
  const auto kernel = attend_together<S>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes(0));
  const int64_t clusters = std::min(most_units, clusters_at_once(log_sharing));
  launch_overlapped<Decode>(gpu, kernel,
                            {.blocks = static_cast<unsigned>(clusters << log_sharing),
                             .threads = kTeam,
                             .shared_bytes = bytes(log_sharing),
                             .cluster = 1U << log_sharing},
                            decode);
  if (sums.most_splits > kJoinedAtOnce && !joins)
    launch_overlapped<Decode>(gpu, join_all_groups<S>,
                              {.blocks = static_cast<unsigned>(items), .threads = kJoinedAtOnce * kWarp},
                              decode);
}

template <typename S>
void run(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  const int chunks = static_cast<int>(divide_up(a.heads / a.kv_heads, S::kHeads));
  if (gpu.compute_capability >= 90) return run_together<S>(gpu, a, sums, chunks);
  const int64_t items = int64_t{a.rows} * a.kv_heads * chunks;
  const int64_t most = items * sums.most_splits;
  const int64_t room = int64_t{kTeams} * gpu.multiprocessors;
  const bool joins = gpu.counters != nullptr && items <= kGpuCounters;
  const Decode decode{a, sums, chunks, 0, joins ? gpu.counters : nullptr};
  constexpr int kRingBytes = PieceRing<S, PieceWalk<1>>::kBytes;
  const auto kernel = attend_pieces<S>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kRingBytes);
  launch_overlapped<Decode>(gpu, kernel,
                            {.blocks = static_cast<unsigned>(most < room ? most : room),
                             .threads = kTeam,
                             .shared_bytes = kRingBytes},
                            decode);
  if (sums.most_splits > 1 && !joins) run_attention_join(gpu, a, sums);
}

/// Fewer heads at once than the group has: items for each part of it.
template <typename One, typename Two, typename Four, typename Eight>
void run_group(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  const int group = a.heads / a.kv_heads;
  if (group <= 1) return run<One>(gpu, a, sums);
  if (group <= 2) return run<Two>(gpu, a, sums);
  if (group <= 4) return run<Four>(gpu, a, sums);
  run<Eight>(gpu, a, sums);
}

}  // namespace

bool rounds_output(const PagedAttention& a) {
  return a.head_dim == 16 || a.head_dim == 64 || a.head_dim == 96 || a.head_dim == 128 || a.head_dim == 256;
}

void run_attention_decode(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  switch (a.head_dim) {
    case 16:
      return run_group<PieceOf<16, 1>, PieceOf<16, 2>, PieceOf<16, 4>, PieceOf<16, 4>>(gpu, a, sums);
    case 64:
      return run_group<PieceOf<64, 1>, PieceOf<64, 2>, PieceOf<64, 4>, PieceOf<64, 8>>(gpu, a, sums);
    case 96:
      return run_group<PieceOf<96, 1>, PieceOf<96, 2>, PieceOf<96, 4>, PieceOf<96, 4>>(gpu, a, sums);
    case 128:
      return run_group<PieceOf<128, 1>, PieceOf<128, 2>, PieceOf<128, 4>, PieceOf<128, 8>>(gpu, a, sums);
    case 256:
      return run_group<PieceOf<256, 1>, PieceOf<256, 2>, PieceOf<256, 4>, PieceOf<256, 4>>(gpu, a, sums);
    default:
      run_attention_any(gpu, a, &sums);
      if (sums.most_splits > 1) run_attention_join(gpu, a, sums);
  }
}

}  // namespace ingot::cuda
