// Attention for generated tokens (flash decoding): teams of threads take the pieces that rows' keys are split
// into, each for one key head.
#include "backend/cuda/kernels/attention_join.cuh"
#include "backend/cuda/kernels/attention_pieces.cuh"
#include "backend/cuda/kernels/attention_ring.cuh"
#include "backend/cuda/kernels/attention_shares.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kTeams = 4;  // of a multiprocessor

struct Decode {
  PagedAttention attention;
  SplitSums sums;
  int chunks;        // of a key head's query heads
  uint32_t* counts;  // of pieces that are done, of each row's heads; 0 before and after. Null: nobody joins
};

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
  PieceRing<S, Walk> ring(walk, 0, thread, memory);
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

/// Sends what a piece comes to to the blocks of the cluster, to each its share.
template <typename S>
struct ToCluster {
  Share<S>& share;
  int rank;
  bool& must_wait;  // until the shares of the unit before have been joined

  __device__ void begin() {
    if (must_wait) wait_for_cluster();
    must_wait = false;
  }
  __device__ void put(int h, int dim, const float4& values, float highest, float sum) const {
    const int vector = h * S::kVectors + dim / 4;
    const int owner = vector / Share<S>::kVectors;
    const int own = vector % Share<S>::kVectors;
    const uint32_t barrier = share::address_of_rank(&share.arrived, owner);
    share::send(share::address_of_rank(&share.mixed[rank][own], owner), values, barrier);
    if (own == 0)
      share::send(share::address_of_rank(&share.stats[rank], owner), float2{highest, sum}, barrier);
  }
};

/// Compute capability 9.0: every block is a team, and the blocks of a cluster take the pieces of a unit: a
/// row's for the heads of an item, or kJoinedAtOnce of them.
template <typename S>
__global__ void __launch_bounds__(kTeam, kTeams) attend_together(const __grid_constant__ Decode decode) {
#if __CUDA_ARCH__ >= 900
  using Walk = PieceWalk<kJoinedAtOnce>;
  extern __shared__ float4 memory[];
  __shared__ PieceScratch<S> scratch;
  __shared__ Share<S> share;
  const PagedAttention& a = decode.attention;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int rank = rank_in_cluster();
  begin_next_kernel();
  if (thread == 0) begin_barrier(&share.arrived, 1);
  fence_barriers();
  __syncthreads();
  arrive_at_cluster();
  // Until inputs are there: what the step was given, and keys and values older than it (linear_overlap.cuh).
  Walk walk(a, decode.chunks, static_cast<int>(blockIdx.x) / kJoinedAtOnce,
            static_cast<int>(gridDim.x) / kJoinedAtOnce);
  PieceRing<S, Walk> ring(walk, rank, thread, memory);
  ring.ask_for_old(a);
  wait_for_cluster();
  wait_for_inputs();
  clear_padding(a);
  const int group = a.heads / a.kv_heads;
  bool must_wait = false;
  int exchanges = 0;
#pragma unroll 1
  while (!walk.done()) {
    ring.come_to_item(a);
    const PieceItem item = walk.item<S>(rank);
    const int number = walk.number_of_heads();
    const int groups = walk.splits();
    walk.next(a);
    ring.look_ahead();
    const int first_piece = item.piece.split - rank;
    const int splits = splits_of(item.piece.place.keys(), a.kv_heads);
    const int pieces = min(kJoinedAtOnce, splits - first_piece);
    const int64_t head = int64_t{item.piece.row} * a.heads + item.kv_head * group + item.head_in_group;
    ToCluster<S> sums{share, rank, must_wait};
    if (rank < pieces)
      attend_piece<S>(a, item, a.q + head * S::kHeadDim, thread, scratch, ring, sums);
    else
      sums.begin();
    if (splits == 1) continue;
    // One of the warps joins the block's share; the others go on.
    const int vector = rank * Share<S>::kVectors + min(lane, Share<S>::kVectors - 1);
    const int own_head = vector / S::kVectors;
    const int dim = vector % S::kVectors * 4;
    if (thread / kWarp == exchanges % kTeamWarps && own_head < min(S::kHeads, group - item.head_in_group)) {
      if (lane == 0) arrive_expecting(&share.arrived, pieces * Share<S>::kBytes);
      wait_for_phase(&share.arrived, exchanges & 1);
      const auto [mixed, max, sum] = share::join(
          pieces, [&](int i) { return share.stats[i]; },
          [&](int i) { return share.mixed[i][min(lane, Share<S>::kVectors - 1)]; });
      const int64_t place = (head + own_head) * decode.sums.most_splits + first_piece / kJoinedAtOnce;
      const bool writes = lane < Share<S>::kVectors;
      if (groups == 1) {
        if (writes) put_output(a, (head + own_head) * S::kHeadDim + dim, piece::scaled(mixed, 1.0F / sum));
      } else {
        if (writes) {
          *reinterpret_cast<float4*>(decode.sums.mixed + place * S::kHeadDim + dim) = mixed;
          decode.sums.stats[place] = {max, sum};  // the same by all shares of a head, each for its reader
        }
        if (decode.counts != nullptr) {
          uint32_t* count = decode.counts + number * kJoinedAtOnce + rank;
          __syncwarp();
          uint32_t before = 0;
          if (lane == 0) before = share::count_up(count);
          before = __shfl_sync(0xffffffff, before, 0);
          if (before + 1 == static_cast<uint32_t>(groups)) {
            if (lane == 0) *count = 0;  // nobody else comes
            join_groups<S>(a, decode.sums, head + own_head, groups, dim, writes);
          }
        }
      }
    }
    ++exchanges;
    if (walk.done()) continue;
    __syncwarp();
    arrive_having_read();
    must_wait = true;
  }
  if (must_wait) wait_for_cluster();
#endif
}

/// Where nobody counted: joins the groups of a row's pieces. A block for the heads of an item, a warp a
/// share.
template <typename S>
__global__ void __launch_bounds__(kJoinedAtOnce* kWarp)
    join_all_groups(const __grid_constant__ Decode decode) {
  __shared__ AttentionRow row;
  const PagedAttention& a = decode.attention;
  begin_next_kernel();
  const int of_row = a.kv_heads * decode.chunks;
  const int row_number = static_cast<int>(blockIdx.x) / of_row;
  const int item = static_cast<int>(blockIdx.x) % of_row;
  const bool is_row = find_row(a, row_number, row);
  wait_for_inputs();
  if (!is_row) return;
  const int splits = splits_of(row.keys(), a.kv_heads);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int vector =
      static_cast<int>(threadIdx.x) / kWarp * Share<S>::kVectors + min(lane, Share<S>::kVectors - 1);
  const int group = a.heads / a.kv_heads;
  const int head_in_group = item % decode.chunks * S::kHeads + vector / S::kVectors;
  if (splits <= kJoinedAtOnce || vector >= Share<S>::kAll || head_in_group >= group) return;
  const int64_t head = int64_t{row_number} * a.heads + item / decode.chunks * group + head_in_group;
  join_groups<S>(a, decode.sums, head, (splits - 1) / kJoinedAtOnce + 1, vector % S::kVectors * 4,
                 lane < Share<S>::kVectors);
}

/// As many blocks as there are items at most, or teams fit.
template <typename S>
void run_together(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums, int chunks) {
  const int64_t items = int64_t{a.rows} * a.kv_heads * chunks;
  const int64_t most_groups = divide_up(sums.most_splits, kJoinedAtOnce);
  const int64_t room = int64_t{kTeams} * gpu.multiprocessors / kJoinedAtOnce;
  const bool joins = gpu.counters != nullptr && items * kJoinedAtOnce <= kGpuCounters;
  const Decode decode{a, sums, chunks, joins ? gpu.counters : nullptr};
  constexpr int kBytes = PieceRing<S, PieceWalk<kJoinedAtOnce>>::kBytes;
  const auto kernel = attend_together<S>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  const int64_t clusters = items * most_groups < room ? items * most_groups : room;
  launch_overlapped<Decode>(gpu, kernel,
                            {.blocks = static_cast<unsigned>(clusters * kJoinedAtOnce),
                             .threads = kTeam,
                             .shared_bytes = kBytes,
                             .cluster = kJoinedAtOnce},
                            decode);
  if (most_groups > 1 && !joins)
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
  const Decode decode{a, sums, chunks, joins ? gpu.counters : nullptr};
  constexpr int kRingBytes = PieceRing<S, PieceWalk<1>>::kBytes;
  const auto kernel = attend_pieces<S>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kRingBytes);
  // Else the driver may leave more to the first-level cache, and fewer teams fit.
  cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                       cudaSharedmemCarveoutMaxShared);
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
