// Tiles of the output, each the work of one block; a thread has 8 x 8 values of it in registers, and so
// multiplies 256 times for 16 reads of shared memory, where the next parts of both matrices arrive meanwhile.
#include "backend/cuda/kernels/matmul.h"

#include "backend/cuda/kernels/async_copies.cuh"
#include "backend/cuda/kernels/values.cuh"

namespace ingot::cuda {
namespace {

constexpr int kOwn = 8;    // rows, and columns, of a thread
constexpr int kStep = 16;  // of k: what is in shared memory at a time
constexpr int kVector = 4;
// A warp is 4 x 8 threads, so that its reads of either matrix lie in 32 different banks.
constexpr int kLanesM = 4;
constexpr int kLanesN = 8;
constexpr int kWarpM = kLanesM * kOwn;
constexpr int kWarpN = kLanesN * kOwn;

template <int kM_, int kN_, int kStages_, int kBlocks_>
struct Tile {
  static constexpr int kM = kM_;
  static constexpr int kN = kN_;
  static constexpr int kStages = kStages_;  // steps in shared memory or on their way there
  static constexpr int kBlocks = kBlocks_;  // of a multiprocessor, at least
  static constexpr int kThreads = kM / kWarpM * (kN / kWarpN) * kWarp;
  static constexpr int kPitchA = kStep + 4;  // rows 0 to 3 begin in banks 0, 20, 8 and 28
};
using LargeTile = Tile<128, 128, 2, 2>;
using SmallTile = Tile<64, 64, 4, 6>;  // for products of which large tiles would leave multiprocessors idle

template <class T>
struct alignas(16) Stage {
  float a[T::kM][T::kPitchA];
  float b[kStep][T::kN];
};

/// A thread's part of copying tiles of a matrix: every copy of a tile lies in the same column of it.
template <int kThreads, int kRows, int kColumns, int kPitch, int kCopied>
class TileCopies {
  static constexpr int kInRow = kColumns / kCopied;
  static constexpr int kRowsApart = kThreads / kInRow;
  static_assert(kThreads % kInRow == 0 && kRows % kRowsApart == 0);

 public:
  /// `first`: of the tiles, within a matrix of so many columns. kCopied divides both.
  __device__ TileCopies(const float* first, int64_t columns)
      : row_(static_cast<int>(threadIdx.x) / kInRow),
        column_(static_cast<int>(threadIdx.x) % kInRow * kCopied),
        columns_(columns),
        from_(first + row_ * columns + column_) {}

  /// Begins to copy the tile at `offset` from the first; rows and columns that are not left become zeros.
  __device__ void copy(float* shared, int64_t offset, int64_t rows_left, int64_t columns_left) const {
    const bool is_left = column_ < columns_left;
#pragma unroll
    for (int i = 0; i < kRows / kRowsApart; ++i) {
      const int apart = i * kRowsApart;
      copy_async<kCopied * sizeof(float)>(shared + (row_ + apart) * kPitch + column_,
                                          from_ + offset + apart * columns_,
                                          is_left && row_ + apart < rows_left);
    }
  }

 private:
  int row_;
  int column_;
  int64_t columns_;
  const float* from_;
};

/// What follows from a product's sizes.
struct Counts {
  int64_t tiles_m;
  int64_t tiles_n;
  int steps;
};

/// kCopied: 4 where k and n are multiples of 4, else 1.
template <class T, int kCopied>
__global__ void __launch_bounds__(T::kThreads, T::kBlocks) matmul_kernel(Matmul matmul, Counts counts) {
  __shared__ Stage<T> stages[T::kStages];
  int64_t rest = blockIdx.x;
  const int64_t first_n = rest % counts.tiles_n * T::kN;
  rest /= counts.tiles_n;
  const int64_t first_m = rest % counts.tiles_m * T::kM;
  const int64_t batch = rest / counts.tiles_m;
  const TileCopies<T::kThreads, T::kM, kStep, T::kPitchA, kCopied> a(
      matmul.a + (batch * matmul.m + first_m) * matmul.k, matmul.k);
  const TileCopies<T::kThreads, kStep, T::kN, T::kN, kCopied> b(
      matmul.b + batch * matmul.k * matmul.n + first_n, matmul.n);

  const auto copy_step = [&](int step) {
    if (step < counts.steps) {
      Stage<T>& stage = stages[step % T::kStages];
      const int64_t k = int64_t{step} * kStep;
      a.copy(stage.a[0], k, matmul.m - first_m, matmul.k - k);
      b.copy(stage.b[0], k * matmul.n, matmul.k - k, matmul.n - first_n);
    }
    commit_copies();  // a group of none keeps the count
  };

  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  // A thread's rows are this one and every kLanesM-th after it; its columns are four from this one on, and
  // four half a warp's further.
  const int row = warp / (T::kN / kWarpN) * kWarpM + lane / kLanesN;
  const int column = warp % (T::kN / kWarpN) * kWarpN + lane % kLanesN * kVector;
  float sums[kOwn][kOwn] = {};

#pragma unroll
  for (int s = 0; s < T::kStages - 1; ++s) copy_step(s);
  for (int step = 0; step < counts.steps; ++step) {
    wait_for_copies<T::kStages - 2>();
    __syncthreads();  // this step's copies are there for all, and all are done with the stage that comes free
    copy_step(step + T::kStages - 1);
    const Stage<T>& stage = stages[step % T::kStages];
#pragma unroll
    for (int k = 0; k < kStep; k += kVector) {
      Values<kVector> of_a[kOwn];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) of_a[i] = load_values<kVector>(&stage.a[row + i * kLanesM][k]);
#pragma unroll
      for (int l = 0; l < kVector; ++l) {
        Values<kVector> of_b[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) of_b[h] = load_values<kVector>(&stage.b[k + l][column + h * kWarpN / 2]);
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
#pragma unroll
          for (int j = 0; j < kOwn; ++j)
            sums[i][j] = __fmaf_rn(of_a[i].at[l], of_b[j / kVector].at[j % kVector], sums[i][j]);
        }
      }
    }
  }

  float* out = matmul.out + batch * matmul.m * matmul.n;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int64_t m = first_m + row + i * kLanesM;
    if (m >= matmul.m) continue;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int64_t n = first_n + column + h * kWarpN / 2;
      float* to = out + m * matmul.n + n;
      Values<kVector> values;
#pragma unroll
      for (int j = 0; j < kVector; ++j) values.at[j] = sums[i][h * kVector + j];
      if constexpr (kCopied == kVector) {
        if (n < matmul.n) store_values<kVector>(to, values);
      } else {
#pragma unroll
        for (int j = 0; j < kVector; ++j) {
          if (n + j < matmul.n) to[j] = values.at[j];
        }
      }
    }
  }
}

template <class T>
int64_t tiles_of(const Matmul& matmul) {
  return matmul.batch * divide_up(matmul.m, T::kM) * divide_up(matmul.n, T::kN);
}

/// The bits of the output are the same either way.
bool prefers_small_tiles(const Gpu& gpu, const Matmul& matmul) {
  // Rounds of the multiprocessors, in the time of a small tile on a full one. A large tile is four small ones
  // and reads less for the same work; a multiprocessor with one small tile is half idle.
  constexpr int64_t kLarge = 20;
  constexpr int64_t kSmall = 6;
  const int64_t large = kLarge * divide_up(tiles_of<LargeTile>(matmul), gpu.multiprocessors);
  const int64_t rounds = divide_up(tiles_of<SmallTile>(matmul), gpu.multiprocessors);
  const int64_t small = kSmall * (rounds < 2 ? 2 : rounds);
  return small < large;
}

template <class T>
void launch(const Gpu& gpu, const Matmul& matmul) {
  const auto blocks = static_cast<unsigned>(tiles_of<T>(matmul));
  const Counts counts{.tiles_m = divide_up(matmul.m, T::kM),
                      .tiles_n = divide_up(matmul.n, T::kN),
                      .steps = static_cast<int>(divide_up(matmul.k, kStep))};
  if (matmul.k % kVector == 0 && matmul.n % kVector == 0) {
    matmul_kernel<T, kVector><<<blocks, T::kThreads, 0, gpu.stream>>>(matmul, counts);
  } else {
    matmul_kernel<T, 1><<<blocks, T::kThreads, 0, gpu.stream>>>(matmul, counts);
  }
}

}  // namespace

void run_matmul(const Gpu& gpu, const Matmul& matmul) {
  if (matmul.batch == 0 || matmul.m == 0 || matmul.n == 0) return;
  if (prefers_small_tiles(gpu, matmul)) {
    launch<SmallTile>(gpu, matmul);
  } else {
    launch<LargeTile>(gpu, matmul);
  }
}

}  // namespace ingot::cuda
