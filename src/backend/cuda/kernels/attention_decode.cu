// Attention for generated tokens (flash decoding): teams of threads take the pieces that rows' keys are split
// into, each for one key head. Few pieces are joined in the same launch through shared memory of clusters
// (Hopper), many through memory by another.
#include <algorithm>
#include <climits>

#include "backend/cuda/kernels/attention_stream.cuh"
#include "backend/cuda/kernels/attention_together.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

/// As many teams as there are pieces at most, or fit; then the pieces are joined.
template <typename S>
void run_stream(const Gpu& gpu, const Decode& decode, int64_t items) {
  const int most_splits = decode.sums.most_splits;
  constexpr int kRingBytes = PieceRing<S, PieceWalk<1>>::kBytes;
  const auto kernel = attend_stream<S>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kRingBytes);
  const int64_t blocks = std::min(items * most_splits, int64_t{kTeams} * gpu.multiprocessors);
  launch_overlapped<Decode>(
      gpu, kernel, {.blocks = static_cast<unsigned>(blocks), .threads = kTeam, .shared_bytes = kRingBytes},
      decode);
  if (most_splits == 1) return;
  // A block has as many shares as its warps join at once.
  const int64_t groups = divide_up(most_splits, kJoinedAtOnce);
  const int log_blocks = groups <= 1 ? 0 : groups <= 2 ? 1 : groups <= 4 ? 2 : 3;
  launch_overlapped<Decode, int>(
      gpu, join_units<S>,
      {.blocks = static_cast<unsigned>(items << log_blocks), .threads = kJoinedAtOnce * kWarp}, decode,
      log_blocks);
}

/// Rows of kJoinedAtOnce pieces at most, each by a cluster for some heads.
template <typename S>
void run_together(const Gpu& gpu, const Decode& decode, int64_t items) {
  constexpr int kRingBytes = PieceRing<S, OnePiece>::kBytes;
  const auto kernel = attend_together<S>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kRingBytes);
  launch_overlapped<Decode>(gpu, kernel,
                            {.blocks = static_cast<unsigned>(items * kJoinedAtOnce),
                             .threads = kTeam,
                             .shared_bytes = kRingBytes,
                             .cluster = kJoinedAtOnce},
                            decode);
}

template <typename S>
void run(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  const int chunks = static_cast<int>(divide_up(a.heads / a.kv_heads, S::kHeads));
  const int64_t items = int64_t{a.rows} * a.kv_heads * chunks;
  const Decode decode{a, sums, chunks};
  // A launch less is worth more than streaming where a step's keys are few, and teams two to a
  // multiprocessor.
  const int64_t most_keys =
      std::min<int64_t>(int64_t{a.pages} * a.page_tokens, a.window > 0 ? a.window : INT_MAX);
  if (gpu.compute_capability >= 90 && sums.most_splits <= kJoinedAtOnce &&
      items * kJoinedAtOnce <= 2 * gpu.multiprocessors && items * most_keys <= 128 * gpu.multiprocessors)
    return run_together<S>(gpu, decode, items);
  run_stream<S>(gpu, decode, items);
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
