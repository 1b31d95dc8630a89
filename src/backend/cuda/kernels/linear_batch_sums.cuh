// The end of a tile of linear_batch_kernel.cuh: blocks send each other the sums of their groups of slices,
// and each finishes and writes its fourth of the outputs.
#pragma once

#include "backend/cuda/kernels/linear_batch.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_tensor_epilogue.cuh"

namespace ingot::cuda {

#if __CUDA_ARCH__ >= 900

/// Sends the sums of this thread to the ranks that finish them: of eight outputs each, a rank has those from
/// 8 * rank on of both halves of each group.
template <class T>
__device__ __forceinline__ void send_sums(const BatchShared<T>& shared, int rank,
                                          const float (&sums)[T::kColumns / 2]) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int source = warp / 2;  // group * 2 + half
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const uint32_t to =
      shared.sums + static_cast<uint32_t>(rank * T::kRankBytes + (source * T::kFours * kWarp + lane) * 16);
#pragma unroll
  for (int high = 0; high < 2; ++high) {
    const int receiver = warp % 2 * 2 + high;
    const uint32_t remote = address_of_rank(to, receiver);
    const uint32_t barrier = address_of_rank(shared.sums_full(), receiver);
#pragma unroll
    for (int j = 0; j < T::kFours; ++j) {
      const float* four = sums + 8 * j + 2 * high;
      send_remote(remote + static_cast<uint32_t>(j * kWarp * 16), barrier,
                  float4{four[0], four[1], four[4], four[5]});
    }
  }
}

/// The sums of all groups, first to last, of four rows and one output.
template <class T>
__device__ __forceinline__ float4 add_groups(const char* sums, int four) {
  const auto of_rank = [&](int rank) {
    return *reinterpret_cast<const float4*>(sums + rank * T::kRankBytes + four * 16);
  };
  float4 sum = of_rank(0);
#pragma unroll
  for (int rank = 1; rank < kBatchCluster; ++rank) {
    const float4 more = of_rank(rank);
    sum = {sum.x + more.x, sum.y + more.y, sum.z + more.z, sum.w + more.w};
  }
  return sum;
}

/// Four rows of an output that a thread finishes, and what it needs for that.
struct BatchItem {
  int64_t output = 0;  // of the part
  int first_row = 0;
  bool is_wanted = false;
  float bias = 0;
  float up_bias = 0;
  float residual[4] = {};
  float scales[4] = {1, 1, 1, 1};

  __device__ int row(int r) const { return first_row + r % 2 + r / 2 * 8; }
};

/// Item i of this rank: asked for before the sums are there.
template <BatchEnd kEnd, class T>
__device__ __forceinline__ BatchItem item_of(const SkinnyArguments& a, const Tile& tile, int tile_outputs,
                                             int rank, int i) {
  const SkinnyLinear& linear = a.linear;
  const SkinnyPart& part = linear.parts[tile.part];
  const int source = i / (T::kFours * kWarp);
  const int lane = i % kWarp;
  const int output = source * kHalfOutputs + rank * kPieceRows + lane / 4;
  BatchItem item;
  item.output = tile.first_output + output;
  item.first_row = i / kWarp % T::kFours * 16 + lane % 4 * 2;
  item.is_wanted = i < (is_gated<kEnd>(linear.epilogue) ? T::kItems / 2 : T::kItems) &&
                   output < tile_outputs && item.output < part.outputs && item.first_row < linear.rows;
  if (!item.is_wanted || kEnd == BatchEnd::gated_silu) return item;
  if (kEnd == BatchEnd::plain) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int row = item.row(r);
      if (linear.epilogue.residual != nullptr && row < linear.rows)
        item.residual[r] = linear.epilogue.residual[row * int64_t{part.outputs} + item.output];
    }
    return item;
  }
  if (part.bias.data != nullptr) item.bias = load_float(part.bias, item.output);
  if (part.up_bias.data != nullptr) item.up_bias = load_float(part.up_bias, item.output);
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const int row = item.row(r);
    if (row >= linear.rows) continue;
    if (linear.row_scales != nullptr) item.scales[r] = linear.row_scales[row];
    if (linear.epilogue.residual != nullptr)
      item.residual[r] = linear.epilogue.residual[row * int64_t{part.outputs} + item.output];
  }
  return item;
}

/// Finishes and writes it: the arithmetic of linear_epilogue.cuh. It is run once a tile, and so has to be
/// short: the instructions come from memory.
template <BatchEnd kEnd, class T>
__device__ __forceinline__ void finish_item(const SkinnyArguments& a, const SkinnyPart& part,
                                            const BatchItem& item, const char* sums, int i) {
  if (!item.is_wanted) return;
  const SkinnyLinear& linear = a.linear;
  const LinearEpilogue& epilogue = linear.epilogue;
  constexpr int kSourceFours = T::kFours * kWarp;
  const int four = i % kSourceFours;
  constexpr bool kIsAny = kEnd == BatchEnd::any;
  const bool gated = is_gated<kEnd>(epilogue);
  const auto add_biased = [&](int place, const FloatRow& bias, float value, float(&y)[4]) {
    const float4 sum = add_groups<T>(sums, place);
    const float all[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      y[r] = kIsAny ? __fmul_rn(all[r], item.scales[r]) : all[r];
      if (kIsAny && bias.data != nullptr) y[r] = __fadd_rn(y[r], value);
    }
  };
  float y[4];
  add_biased(gated ? 2 * (i - four) + four : i, part.bias, item.bias, y);
  const auto at = [&](int r) { return item.row(r) * int64_t{part.outputs} + item.output; };
  if (kIsAny && epilogue.add.data != nullptr) {
#pragma unroll 1
    for (int r = 0; r < 4; ++r) {  // values take turns
      const float first =
          item.row(r) < linear.rows
              ? __fadd_rn(y[0], load_float(epilogue.add, epilogue.adds_rows ? at(r) : item.output))
              : 0;
      y[0] = y[1];
      y[1] = y[2];
      y[2] = y[3];
      y[3] = first;
    }
  }
  if (kIsAny) activate(epilogue.activation, y);
  if (kEnd == BatchEnd::gated_silu) activate(LinearActivation::silu, y);
  if (gated) {
    float up[4];
    add_biased(2 * (i - four) + kSourceFours + four, part.up_bias, item.up_bias, up);
#pragma unroll
    for (int r = 0; r < 4; ++r) y[r] = __fmul_rn(y[r], up[r]);
  }
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    if (item.row(r) >= linear.rows) continue;
    if (kEnd != BatchEnd::gated_silu && epilogue.residual != nullptr)
      y[r] = __fadd_rn(item.residual[r], y[r]);
    if (part.is_out_read) part.out[at(r)] = y[r];
    if (part.out_bf16 != nullptr) part.out_bf16[at(r)] = __bfloat16_as_ushort(__float2bfloat16_rn(y[r]));
  }
}

#endif

}  // namespace ingot::cuda
