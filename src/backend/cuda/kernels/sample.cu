// Two kernels. The first finds the highest logit of every chunk of every row, where the kernel that wrote the
// logits has not done so. Each block of the second knows from these the highest of its row: rows that are
// greedy are done there. The others are weighed, a chunk a block, and whichever block of a row is the last to
// be done draws the token.
#include "backend/cuda/kernels/sample.h"

#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/sample_best.cuh"
#include "backend/cuda/kernels/sample_search.cuh"
#include "dtype/philox.h"

namespace ingot::cuda {
namespace {

// Tokens of a block. Small ones find the highest logit soonest; of the draw's blocks, all but one of a greedy
// row come for nothing.
constexpr int kBestChunk = 4096;
constexpr int kDrawChunk = 8192;
constexpr int kBestThreads = 256;

struct Workspace {
  RowSums* rows;           // [rows]
  uint64_t* kept_weights;  // [rows, draw_chunks], after min_p
  Best* bests;             // [rows, best_chunks]
  int best_chunks;
  int draw_chunks;
  double unit;  // of weights
};

Workspace workspace_of(const Sample& sample) {
  Workspace workspace{};
  workspace.best_chunks = static_cast<int>(divide_up(sample.vocab, kBestChunk));
  workspace.draw_chunks = static_cast<int>(divide_up(sample.vocab, kDrawChunk));
  workspace.rows = static_cast<RowSums*>(sample.workspace);
  workspace.kept_weights = reinterpret_cast<uint64_t*>(workspace.rows + sample.rows);
  workspace.bests = reinterpret_cast<Best*>(workspace.kept_weights + sample.rows * workspace.draw_chunks);
  workspace.unit = static_cast<double>(uint64_t{1} << 62);
  for (int64_t tokens = 1; tokens < sample.vocab; tokens *= 2) workspace.unit /= 2;
  return workspace;
}

__global__ void __launch_bounds__(kBestThreads) best_kernel(const Sample sample, const Workspace workspace) {
  begin_next_kernel();
  wait_for_inputs();
  const int64_t r = blockIdx.x / workspace.best_chunks;
  const int chunk = static_cast<int>(blockIdx.x % workspace.best_chunks);
  const int thread = static_cast<int>(threadIdx.x);
  if (chunk == 0) workspace.rows[r].clear(kBestThreads);
  const SampleRow row(sample, r);
  Best best = Best::none();
  const int first = chunk * kBestChunk;
  row.for_logits<8>(first + thread, min(first + kBestChunk, sample.vocab), kBestThreads,
                    [&](int id, float logit) { best.consider(logit, id); });
  best = best_of_warp(best);
  __shared__ Best of_warps[kBestThreads / kWarp];
  if (thread % kWarp == 0) of_warps[thread / kWarp] = best;
  __syncthreads();
  if (thread >= kWarp) return;
  best = best_of_warp(thread < kBestThreads / kWarp ? of_warps[thread] : Best::none());
  if (thread == 0) workspace.bests[r * workspace.best_chunks + chunk] = best;
}

/// Adds a chunk to its row's sums. Returns whether it was the last.
__device__ bool add_chunk(const WeighedRow& row, const Workspace& workspace, int64_t r, int chunk,
                          SampleSearch::Shared& shared) {
  const bool needs_order = row.row.has_top_k() || row.row.has_top_p();
  shared.bins.clear();
  uint64_t kept = 0;
  const int first = chunk * kDrawChunk;
  row.for_keys<8>(first + static_cast<int>(threadIdx.x), min(first + kDrawChunk, row.row.vocab),
                  kSampleThreads, [&](int, SampleKey key) {
                    const uint64_t weight = row.weight(key);
                    if (row.keeps(key)) kept += weight;
                    const int bin = bin_of(key);
                    if (needs_order && bin < kBins - 1) shared.bins.add(bin, weight);
                  });
  kept = sum_up_to_thread(kept, shared.of_warps);  // also a barrier
  if (threadIdx.x == kSampleThreads - 1) workspace.kept_weights[r * workspace.draw_chunks + chunk] = kept;
  RowSums& sums = workspace.rows[r];
  const uint32_t count = shared.bins.counts[threadIdx.x];
  if (count != 0) {
    atomicAdd(&sums.counts[threadIdx.x], count);
    atomicAdd(&sums.weights[threadIdx.x],
              static_cast<unsigned long long>(shared.bins.weight(static_cast<int>(threadIdx.x))));
  }
  __threadfence();  // the sums are there before the chunk counts as finished
  __syncthreads();
  if (threadIdx.x == 0) shared.collected = atomicAdd(&sums.finished, 1U);
  __syncthreads();
  __threadfence();
  return shared.collected + 1 == static_cast<uint32_t>(workspace.draw_chunks);
}

/// The sum that a draw must reach: more than u times all.
__device__ uint64_t drawn(const SampleRow& row, uint64_t all) {
  const double u = dtype::philox_uniform(row.seed(), static_cast<uint32_t>(row.of(Sample::kPosition)));
  const uint64_t least = __double2ull_rd(u * static_cast<double>(all)) + 1;
  return least < all ? least : all;
}

/// The token of a row whose tokens keep their order.
__device__ int draw_in_order(const WeighedRow& row, const uint64_t* kept_weights, int chunks,
                             SampleSearch& search) {
  uint64_t all = 0;
  for (int i = 0; i < chunks; ++i)
    all += __ldcg(reinterpret_cast<const unsigned long long*>(kept_weights) + i);
  if (all == 0) return 0;
  uint64_t wanted = drawn(row.row, all);
  int chunk = 0;
  for (; chunk < chunks - 1; ++chunk) {
    const uint64_t weight = __ldcg(reinterpret_cast<const unsigned long long*>(kept_weights) + chunk);
    if (wanted <= weight) break;
    wanted -= weight;
  }
  const int first = chunk * kDrawChunk;
  return search.find_in_order(first, min(first + kDrawChunk, row.row.vocab), wanted,
                              [&](SampleKey key) { return row.kept_weight(key); });
}

/// The token of a row that keeps only the likeliest.
__device__ int draw_of_likeliest(const WeighedRow& row, const uint64_t* kept_weights, int chunks,
                                 SampleSearch& search) {
  uint64_t all = search.weight_of_all();
  if (row.row.has_top_k())
    all = search.find(SampleBy::count, static_cast<uint64_t>(row.row.of(Sample::kTopK))).weight;
  if (row.row.has_top_p()) {
    const double share = static_cast<double>(row.row.of(Sample::kTopP)) * static_cast<double>(all);
    const uint64_t wanted = share > 1 ? __double2ull_ru(share) : 1;
    all = search.find(SampleBy::weight, wanted < all ? wanted : all).weight;
  }
  if (row.row.of(Sample::kMinP) > 0) {  // these are the likeliest too: the shorter of both
    uint64_t kept = 0;
    for (int i = 0; i < chunks; ++i)
      kept += __ldcg(reinterpret_cast<const unsigned long long*>(kept_weights) + i);
    all = kept < all ? kept : all;
  }
  if (all == 0) return search.find(SampleBy::count, 1).id;
  return search.find(SampleBy::weight, drawn(row.row, all)).id;
}

__global__ void __launch_bounds__(kSampleThreads, 2)
    draw_kernel(const Sample sample, const Workspace workspace) {
  begin_next_kernel();
  wait_for_inputs();
  __shared__ SampleSearch::Shared shared;
  const int64_t r = blockIdx.x / workspace.draw_chunks;
  const int chunk = static_cast<int>(blockIdx.x % workspace.draw_chunks);
  const int thread = static_cast<int>(threadIdx.x);
  const SampleRow row(sample, r);
  if (row.is_greedy() && chunk != 0) return;
  Best best = Best::none();  // every warp finds it
  for (int i = thread % kWarp; i < workspace.best_chunks; i += kWarp) {
    const Best other = workspace.bests[r * workspace.best_chunks + i];
    best.consider(other.logit, other.id);
  }
  best = best_of_warp(best);
  if (row.is_greedy() || !isfinite(best.logit)) {  // nothing is possible, or one token is certain
    if (chunk == 0 && thread == 0) sample.ids[r] = best.logit == negative_infinity() ? 0 : best.id;
    return;
  }

  const WeighedRow weighed(row, best.logit, workspace.unit);
  if (!add_chunk(weighed, workspace, r, chunk, shared)) return;

  const RowSums& sums = workspace.rows[r];
  uint64_t count = __ldcg(&sums.counts[thread]);
  const uint64_t others = sum_up_to_thread(count, shared.of_warps);
  if (thread == kBins - 1) count = static_cast<uint64_t>(sample.vocab) - others;
  SampleSearch search(weighed, shared, count, __ldcg(&sums.weights[thread]));
  const uint64_t* kept_weights = workspace.kept_weights + r * workspace.draw_chunks;
  const int id = row.has_top_k() || row.has_top_p()
                     ? draw_of_likeliest(weighed, kept_weights, workspace.draw_chunks, search)
                     : draw_in_order(weighed, kept_weights, workspace.draw_chunks, search);
  if (thread == 0) sample.ids[r] = id;
}

void draw(const Gpu& gpu, const Sample& sample, const Workspace& workspace) {
  const auto blocks = static_cast<unsigned>(sample.rows * workspace.draw_chunks);
  launch_overlapped(gpu, draw_kernel, {.blocks = blocks, .threads = kSampleThreads}, sample, workspace);
}

}  // namespace

size_t sample_workspace_bytes(int64_t rows, int64_t vocab) {
  const auto best_chunks = static_cast<size_t>(divide_up(vocab, kBestChunk));
  const auto draw_chunks = static_cast<size_t>(divide_up(vocab, kDrawChunk));
  return static_cast<size_t>(rows) *
         (sizeof(RowSums) + draw_chunks * sizeof(uint64_t) + best_chunks * sizeof(Best));
}

void run_sample(const Gpu& gpu, const Sample& sample) {
  if (sample.rows == 0 || sample.vocab == 0) return;
  const Workspace workspace = workspace_of(sample);
  const auto blocks = static_cast<unsigned>(sample.rows * workspace.best_chunks);
  launch_overlapped(gpu, best_kernel, {.blocks = blocks, .threads = kBestThreads}, sample, workspace);
  draw(gpu, sample, workspace);
}

size_t logits_watch_bytes(int count) {
  return sizeof(RowSums) + static_cast<size_t>(count) * sizeof(Best);
}

LogitsWatch logits_watch_in(void* memory, int count) {
  auto* const sums = static_cast<RowSums*>(memory);
  return {.sample = {}, .bests = reinterpret_cast<Best*>(sums + 1), .sums = sums, .count = count};
}

void run_watched_sample(const Gpu& gpu, const LogitsWatch& watch) {
  Workspace workspace = workspace_of(watch.sample);
  workspace.rows = watch.sums;
  workspace.bests = watch.bests;
  workspace.best_chunks = watch.count;
  draw(gpu, watch.sample, workspace);
}

}  // namespace ingot::cuda
