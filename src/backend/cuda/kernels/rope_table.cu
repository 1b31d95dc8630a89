// The angle is rounded to f32 as in training; its cosine is then exact to f32, as the reference has it: in
// double precision, which costs nothing once a step.
#include "backend/cuda/kernels/rope_table.h"

#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRows = 8;  // of a block, for which it reads the frequencies once

__global__ void __launch_bounds__(kThreads) make_table(const __grid_constant__ RopeTable r) {
  __shared__ float frequencies[RopeTable::kMostPairs];
  begin_next_kernel();
  wait_for_inputs();
  for (int pair = static_cast<int>(threadIdx.x); pair < r.pairs; pair += kThreads)
    frequencies[pair] = r.frequencies[pair];
  __syncthreads();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kRows;
  const int rows = static_cast<int>(min(static_cast<int64_t>(kRows), r.rows - first));
  for (int i = static_cast<int>(threadIdx.x); i < rows * r.pairs; i += kThreads) {
    const int64_t row = first + i / r.pairs;
    const int pair = i % r.pairs;
    const float angle = __fmul_rn(static_cast<float>(r.positions[row]), frequencies[pair]);
    double sine;
    double cosine;
    sincos(static_cast<double>(angle), &sine, &cosine);
    float* out = r.table + row * 2 * r.all_pairs + r.first_pair + pair;
    out[0] = static_cast<float>(cosine * r.factor);
    out[r.all_pairs] = static_cast<float>(sine * r.factor);
  }
}

}  // namespace

void run_rope_table(const Gpu& gpu, const RopeTable& table) {
  if (table.rows == 0 || table.pairs == 0) return;
  launch_overlapped(gpu, make_table,
                    {.blocks = static_cast<unsigned>(divide_up(table.rows, kRows)), .threads = kThreads},
                    table);
}

}  // namespace ingot::cuda
