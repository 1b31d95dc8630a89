#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {
namespace {

/// Writes a block of 32 values. All lanes of a warp call it.
__device__ void write_int8(const RowPreparation& p, int64_t row, int64_t i, const float4& y) {
  const Int8Four four = as_int8(y);
  if (i >= p.in) return;
  *reinterpret_cast<char4*>(p.int8 + row * p.in + i) = four.values;
  if (i % 32 == 0) {
    const int64_t block = row * (p.in / 32) + i / 32;
    p.int8_scales[block] = four.scale;
    p.int8_sums[block] = four.sum;
  }
}

__device__ void write_f32(const RowPreparation& p, int64_t row, int64_t i, const float4& y) {
  float* to = p.f32 + row * p.in + i;
  if (p.in % 4 == 0) {
    if (i < p.in) *reinterpret_cast<float4*>(to) = y;
    return;
  }
  if (i < p.in) to[0] = y.x;
  if (i + 1 < p.in) to[1] = y.y;
  if (i + 2 < p.in) to[2] = y.z;
  if (i + 3 < p.in) to[3] = y.w;
}

/// A block for each row.
template <bool kFours>
__global__ void __launch_bounds__(kRowThreads) prepare_rows(const __grid_constant__ RowPreparation p) {
  __shared__ RowPartials partials;
  begin_next_kernel();
  wait_for_inputs();
  const int64_t row = blockIdx.x;
  reduce_rows<kFours>(p, row, 1, partials);
  const RowScale scale = scale_of_row(p, 0, partials);
  float factor = 1;
  if (p.f16 != nullptr) {
    reduce_largest<kFours>(p, row, 1, partials);
    const int exponent = f16_exponent(0, partials);
    factor = power_of_two(exponent);
    if (threadIdx.x == 0) p.f16_scales[row] = power_of_two(-exponent);
  }
  const float* x = p.x + row * p.in;
  for_fours(max(p.in, p.pitch), [&](int64_t i) {
    const float4 y = normalised_four<kFours>(p, x, i, scale);
    if (p.f32 != nullptr) write_f32(p, row, i, y);
    if (i < p.pitch) {
      const int64_t at = row * p.pitch + i;
      if (p.bf16 != nullptr) *reinterpret_cast<uint2*>(static_cast<uint16_t*>(p.bf16) + at) = as_bf16(y);
      if (p.f16 != nullptr) *reinterpret_cast<uint2*>(static_cast<uint16_t*>(p.f16) + at) = as_f16(y, factor);
    }
    if (p.int8 != nullptr) write_int8(p, row, i, y);
  });
}

/// The same where only 16-bit rows are wanted, of up to kKept * kRowStep values, a multiple of four: they are
/// read once and stay in registers.
template <int kKept>
__global__ void __launch_bounds__(kRowThreads) prepare_kept_rows(const __grid_constant__ RowPreparation p) {
  __shared__ RowPartials partials;
  begin_next_kernel();
  KeptRow<kKept> kept;
  kept.load_weights(p);
  wait_for_inputs();
  const int64_t row = blockIdx.x;
  kept.load(p, p.x + row * p.in);
  kept.normalise(p, partials);
  float factor = 1;
  if (p.f16 != nullptr) {
    const int exponent = kept.exponent(partials);
    factor = power_of_two(exponent);
    if (threadIdx.x == 0) p.f16_scales[row] = power_of_two(-exponent);
  }
#pragma unroll
  for (int i = 0; i < kKept; ++i) {
    const int64_t column = kept.at(i);
    if (column >= p.pitch) continue;
    const int64_t at = row * p.pitch + column;
    if (p.bf16 != nullptr)
      *reinterpret_cast<uint2*>(static_cast<uint16_t*>(p.bf16) + at) = as_bf16(kept.y[i]);
    if (p.f16 != nullptr)
      *reinterpret_cast<uint2*>(static_cast<uint16_t*>(p.f16) + at) = as_f16(kept.y[i], factor);
  }
}

using PrepareRows = void (*)(RowPreparation);

PrepareRows kernel_for(const RowPreparation& p) {
  if (p.in % 4 != 0) return prepare_rows<false>;
  const bool is_kept = p.f32 == nullptr && p.int8 == nullptr;
  if (is_kept && p.pitch <= kRowStep) return prepare_kept_rows<1>;
  if (is_kept && p.pitch <= 2 * kRowStep) return prepare_kept_rows<2>;
  if (is_kept && p.pitch <= 4 * kRowStep) return prepare_kept_rows<4>;
  if (is_kept && p.pitch <= 8 * kRowStep) return prepare_kept_rows<8>;
  return prepare_rows<true>;
}

}  // namespace

void run_row_preparation(const Gpu& gpu, const RowPreparation& preparation) {
  if (preparation.rows == 0) return;
  launch_overlapped<RowPreparation>(
      gpu, kernel_for(preparation),
      {.blocks = static_cast<unsigned>(preparation.rows), .threads = kRowThreads}, preparation);
}

}  // namespace ingot::cuda
