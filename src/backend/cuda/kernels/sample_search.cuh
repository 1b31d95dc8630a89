// Cuts through a row's tokens in the order of likelihood, without sorting them all.
//
// Top-k, top-p, min-p and the draw each ask for the first token, from the likeliest down, where a sum of
// weights (or the count of tokens) reaches a number. A histogram tells the bin that the token is in; the
// tokens of that bin, or of all up to it where they are few, are collected and sorted in shared memory. What
// does not fit, many tokens of nearly equal logits, is divided into finer bins until it does.
#pragma once

#include "backend/cuda/kernels/sample_bins.cuh"

namespace ingot::cuda {

/// Tokens up to one: the last of them, and the weight of all.
struct SampleCut {
  uint64_t weight;
  int id;
};

enum class SampleBy { count, weight };

/// The search of one block, all of whose threads make the same calls. What passes over the row is not
/// inlined: once in the code is enough, and registers are few.
class SampleSearch {
 public:
  static constexpr int kWindow = 2048;  // tokens that are sorted at a time
  static constexpr int kOwn = kWindow / kSampleThreads;

  struct Shared {
    uint64_t bin_weights[kBins];  // up to and with the bin
    uint64_t bin_counts[kBins];
    uint64_t window[kWindow];          // key and id, sorted
    uint64_t window_weights[kWindow];  // up to and with the token
    SampleBins bins;
    uint64_t of_warps[kSampleThreads / kWarp];
    SampleCut cut;
    uint32_t collected;
    int bin;
    uint64_t count_before;
    uint64_t weight_before;
  };

  /// `count`, `weight`: those of the bin of the thread's number.
  __device__ SampleSearch(const WeighedRow& row, Shared& shared, uint64_t count, uint64_t weight)
      : row_(row), shared_(shared) {
    count = sum_up_to_thread(count, shared.of_warps);
    weight = sum_up_to_thread(weight, shared.of_warps);
    shared.bin_counts[threadIdx.x] = count;
    shared.bin_weights[threadIdx.x] = weight;
    __syncthreads();
  }

  __device__ uint64_t weight_of_all() const { return shared_.bin_weights[kBins - 1]; }

  /// The first token with which the sum reaches `wanted`, at least 1 and at most the sum of all.
  __device__ __noinline__ SampleCut find(SampleBy by, uint64_t wanted) {
    const uint64_t* sums = by == SampleBy::count ? shared_.bin_counts : shared_.bin_weights;
    const int own = static_cast<int>(threadIdx.x);
    if (sums[own] >= wanted && (own == 0 || sums[own - 1] < wanted)) shared_.bin = own;
    __syncthreads();
    const int bin = shared_.bin;
    __syncthreads();
    if (bin >= first_bin_ && bin < end_bin_) return find_in_window(by, wanted);
    if (shared_.bin_counts[bin] <= kWindow) {
      open_window(0, bin);
    } else if (shared_.bin_counts[bin] - counts_up_to(bin) <= kWindow) {
      open_window(bin, bin);
    } else {
      return find_in_crowd(by, wanted, bin);
    }
    return find_in_window(by, wanted);
  }

  /// The first id in [first, end), in their own order, with which the sum of f(key) reaches `wanted`. There
  /// is one.
  template <class F>
  __device__ int find_in_order(int first, int end, uint64_t wanted, F f) {
    const int own = (end - first + kSampleThreads - 1) / kSampleThreads;
    const int own_first = min(first + own * static_cast<int>(threadIdx.x), end);
    const int own_end = min(own_first + own, end);
    uint64_t sum = 0;
    row_.for_keys<8>(own_first, own_end, 1, [&](int, SampleKey key) { sum += f(key); });
    const uint64_t up_to = sum_up_to_thread(sum, shared_.of_warps);
    uint64_t reached = up_to - sum;
    if (reached < wanted && wanted <= up_to) {
      row_.for_keys<8>(own_first, own_end, 1, [&](int id, SampleKey key) {
        const uint64_t before = reached;
        reached += f(key);
        if (before < wanted && wanted <= reached) shared_.cut.id = id;
      });
    }
    __syncthreads();
    const int id = shared_.cut.id;
    __syncthreads();
    return id;
  }

 private:
  /// Tokens, or weight, of the bins below one.
  __device__ uint64_t counts_up_to(int bin) const { return bin == 0 ? 0 : shared_.bin_counts[bin - 1]; }
  __device__ uint64_t weights_up_to(int bin) const { return bin == 0 ? 0 : shared_.bin_weights[bin - 1]; }

  __device__ void open_window(int first, int last) {
    first_bin_ = first;
    end_bin_ = last + 1;
    count_before_ = counts_up_to(first);
    weight_before_ = weights_up_to(first);
    collect(first_key(first), first_key(last + 1), shared_.bin_counts[last] - count_before_);
  }

  /// Sorts the `count` tokens whose keys lie in [first, end) into the window.
  __device__ __noinline__ void collect(SampleKey first, SampleKey end, uint64_t count) {
    if (threadIdx.x == 0) shared_.collected = 0;
    size_ = static_cast<int>(count);
    int padded = 2;
    while (padded < size_) padded *= 2;
    for (int i = size_ + static_cast<int>(threadIdx.x); i < padded; i += kSampleThreads)
      shared_.window[i] = ~uint64_t{0};
    __syncthreads();
    row_.for_keys<16>(static_cast<int>(threadIdx.x), row_.row.vocab, kSampleThreads,
                      [&](int id, SampleKey key) {
                        if (key >= first && key < end)
                          shared_.window[atomicAdd(&shared_.collected, 1U)] =
                              static_cast<uint64_t>(key) << 32 | static_cast<uint32_t>(id);
                      });
    __syncthreads();
    sort(padded);
    sum_window();
  }

  /// Batcher's bitonic sort (1968), ascending.
  __device__ void sort(int padded) {
    for (int sorted = 2; sorted <= padded; sorted *= 2) {
      for (int apart = sorted / 2; apart > 0; apart /= 2) {
        for (int i = static_cast<int>(threadIdx.x); i < padded / 2; i += kSampleThreads) {
          const int a = 2 * i - (i & (apart - 1));
          const int b = a + apart;
          const uint64_t at_a = shared_.window[a];
          const uint64_t at_b = shared_.window[b];
          if ((at_a > at_b) == ((a & sorted) == 0)) {
            shared_.window[a] = at_b;
            shared_.window[b] = at_a;
          }
        }
        __syncthreads();
      }
    }
  }

  __device__ void sum_window() {
    uint64_t weights[kOwn];
    uint64_t sum = 0;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int at = static_cast<int>(threadIdx.x) * kOwn + i;
      if (at < size_) sum += row_.weight(static_cast<SampleKey>(shared_.window[at] >> 32));
      weights[i] = sum;
    }
    const uint64_t before = sum_up_to_thread(sum, shared_.of_warps) - sum;
#pragma unroll
    for (int i = 0; i < kOwn; ++i)
      shared_.window_weights[static_cast<int>(threadIdx.x) * kOwn + i] = before + weights[i];
    __syncthreads();
  }

  __device__ SampleCut find_in_window(SampleBy by, uint64_t wanted) {
    const auto up_to = [&](int tokens) -> uint64_t {  // the sum up to the window's first `tokens`
      if (by == SampleBy::count) return count_before_ + static_cast<uint64_t>(tokens);
      return weight_before_ + (tokens == 0 ? 0 : shared_.window_weights[tokens - 1]);
    };
    for (int at = static_cast<int>(threadIdx.x); at < size_; at += kSampleThreads) {
      if (up_to(at) < wanted && wanted <= up_to(at + 1))
        shared_.cut = {weight_before_ + shared_.window_weights[at], static_cast<int>(shared_.window[at])};
    }
    __syncthreads();
    const SampleCut cut = shared_.cut;
    __syncthreads();
    return cut;
  }

  /// The same for a bin of more tokens than the window has room for.
  __device__ __noinline__ SampleCut find_in_crowd(SampleBy by, uint64_t wanted, int bin) {
    SampleKey first = first_key(bin);
    SampleKey end = first_key(bin + 1);
    uint64_t count = shared_.bin_counts[bin] - counts_up_to(bin);
    count_before_ = counts_up_to(bin);
    weight_before_ = weights_up_to(bin);
    first_bin_ = end_bin_ = 0;  // the window will not be a bin's
    while (count > kWindow && end - first > 1) {
      int shift = 0;
      while ((end - 1 - first) >> shift >= kBins) ++shift;
      shared_.bins.clear();
      row_.for_keys<16>(static_cast<int>(threadIdx.x), row_.row.vocab, kSampleThreads,
                        [&](int, SampleKey key) {
                          if (key >= first && key < end)
                            shared_.bins.add(static_cast<int>((key - first) >> shift), row_.weight(key));
                        });
      __syncthreads();
      const uint64_t own_count = shared_.bins.counts[threadIdx.x];
      const uint64_t own_weight = shared_.bins.weight(static_cast<int>(threadIdx.x));
      const uint64_t counts = count_before_ + sum_up_to_thread(own_count, shared_.of_warps);
      const uint64_t weights = weight_before_ + sum_up_to_thread(own_weight, shared_.of_warps);
      const uint64_t sum = by == SampleBy::count ? counts : weights;
      if (wanted <= sum && sum - (by == SampleBy::count ? own_count : own_weight) < wanted) {
        shared_.bin = static_cast<int>(threadIdx.x);
        shared_.count_before = counts - own_count;
        shared_.weight_before = weights - own_weight;
      }
      __syncthreads();
      count_before_ = shared_.count_before;
      weight_before_ = shared_.weight_before;
      count = shared_.bins.counts[shared_.bin];
      first += static_cast<SampleKey>(shared_.bin) << shift;
      end = min(end, first + (SampleKey{1} << shift));
      __syncthreads();
    }
    if (count <= kWindow) {
      collect(first, end, count);
      return find_in_window(by, wanted);
    }
    // More tokens than the window holds, and all of the same logit: the lower ids first.
    const uint64_t weight = row_.weight(first);
    uint64_t rank = wanted - count_before_;  // 1: the first of them
    if (by == SampleBy::weight) rank = (wanted - weight_before_ + weight - 1) / weight;
    const int id = find_in_order(0, row_.row.vocab, rank,
                                 [&](SampleKey key) { return static_cast<uint64_t>(key == first); });
    return {weight_before_ + rank * weight, id};
  }

  const WeighedRow& row_;
  Shared& shared_;
  // The window's tokens are those of these bins; none: only what was last searched for.
  int first_bin_ = 0;
  int end_bin_ = 0;
  int size_ = 0;
  uint64_t count_before_ = 0;
  uint64_t weight_before_ = 0;
};

}  // namespace ingot::cuda
