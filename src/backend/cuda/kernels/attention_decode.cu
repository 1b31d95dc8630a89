// Attention for generated tokens (flash decoding): teams of threads take the pieces that rows' keys are split
// into, each for one key head.
#include "backend/cuda/kernels/attention_pieces.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kTeams = 4;  // of a multiprocessor

struct Decode {
  PagedAttention attention;
  SplitSums sums;
  int chunks;  // of a key head's query heads
};

/// Every block is a team.
template <typename S, int kStages>
__global__ void __launch_bounds__(kTeam, kTeams) attend_pieces(const __grid_constant__ Decode decode) {
  extern __shared__ float4 ring[];
  __shared__ PieceScratch<S> scratch;
  const PagedAttention& a = decode.attention;
  begin_next_kernel();
  wait_for_inputs();
  clear_padding(a);
  PieceWalk walk(a, a.kv_heads * decode.chunks, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  for (; !walk.done(); walk.next(a)) {
    const int kv_head = walk.item() / decode.chunks;
    const int head_in_group = walk.item() % decode.chunks * S::kHeads;
    const int64_t first_head =
        int64_t{walk.piece().row} * a.heads + kv_head * (a.heads / a.kv_heads) + head_in_group;
    attend_piece<S, kStages>(
        a, decode.sums, walk.piece(), kv_head, head_in_group, a.q + first_head * S::kHeadDim,
        static_cast<int>(threadIdx.x), [] { __syncthreads(); }, scratch, ring);
  }
}

template <typename S, int kStages = 0>
void run(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  const int chunks = static_cast<int>(divide_up(a.heads / a.kv_heads, S::kHeads));
  const int64_t most = int64_t{a.rows} * a.kv_heads * chunks * sums.most_splits;
  const int64_t room = int64_t{kTeams} * gpu.multiprocessors;
  constexpr int kRingBytes = kStages * S::kStageBytes;
  const auto kernel = attend_pieces<S, kStages>;
  if (kRingBytes > 0) cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kRingBytes);
  launch_overlapped<Decode>(gpu, kernel,
                            {.blocks = static_cast<unsigned>(most < room ? most : room),
                             .threads = kTeam,
                             .shared_bytes = kRingBytes},
                            {a, sums, chunks});
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

void run_attention_decode(const Gpu& gpu, const PagedAttention& a, const SplitSums& sums) {
  switch (a.head_dim) {
    case 16:
      run_group<PieceShape<16, 1, 4>, PieceShape<16, 2, 4>, PieceShape<16, 4, 4>, PieceShape<16, 4, 4>>(
          gpu, a, sums);
      break;
    case 64:
      run_group<PieceShape<64, 1, 8>, PieceShape<64, 2, 8>, PieceShape<64, 4, 8>, PieceShape<64, 8, 4>>(
          gpu, a, sums);
      break;
    case 96:
      run_group<PieceShape<96, 1, 2>, PieceShape<96, 2, 2>, PieceShape<96, 4, 2>, PieceShape<96, 4, 2>>(
          gpu, a, sums);
      break;
    case 128:
      run_group<PieceShape<128, 1, 8>, PieceShape<128, 2, 8>, PieceShape<128, 4, 8>, PieceShape<128, 8, 4>>(
          gpu, a, sums);
      break;
    case 256:
      run_group<PieceShape<256, 1, 4>, PieceShape<256, 2, 4>, PieceShape<256, 4, 2>, PieceShape<256, 4, 2>>(
          gpu, a, sums);
      break;
    default:
      run_attention_any(gpu, a, &sums);
  }
  if (sums.most_splits > 1) run_attention_join(gpu, a, sums);
}

}  // namespace ingot::cuda
