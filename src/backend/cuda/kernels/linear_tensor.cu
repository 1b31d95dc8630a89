#include "backend/cuda/kernels/linear_tensor_launch.cuh"

namespace ingot::cuda {
namespace {

/// A tile that the kernel is built for, and what an H200 takes for it.
struct TileCost {
  int groups;         // of 64 weight rows
  int columns;        // rows
  int cluster;        // blocks that share rows
  int blocks;         // of a multiprocessor
  double us_of_step;  // 64 values deep, by a block alone
  double kilobytes;   // that a block reads in a step
  double us_of_tile;  // for what follows its sums
};
constexpr TileCost kTiles[] = {{1, 32, 1, 2, 0.19, 12, 0.5},
                               {2, 64, 1, 1, 0.20, 24, 1.0},
                               {1, 128, 1, 1, 0.20, 24, 1.0},
                               {2, 128, 1, 1, 0.325, 32, 1.5},
                               {2, 256, 2, 1, 0.64, 32, 3.0}};
constexpr double kKilobytesOfUs = 9500;  // that all blocks together read from the second-level cache

double us_of(const Gpu& gpu, const TensorLinear& linear, const TileCost& tile) {
  const int64_t outputs = int64_t{tile.groups} * kGroupOutputs / (linear.epilogue.gated ? 2 : 1);
  int64_t tiles = 0;
  for (int i = 0; i < linear.part_count; ++i)
    tiles += round_up(divide_up(linear.parts[i].outputs, outputs), tile.cluster);
  tiles *= divide_up(linear.rows, tile.columns);
  const auto steps = static_cast<double>(divide_up(linear.in, kTensorDepth));
  const auto us_of_wave = [&](int64_t blocks) {
    const double us = static_cast<double>(blocks) * tile.kilobytes / kKilobytesOfUs;
    return steps * std::max(us, tile.us_of_step) + tile.us_of_tile;
  };
  const int64_t most = int64_t{gpu.multiprocessors} * tile.blocks;
  double us = static_cast<double>(tiles / most) * us_of_wave(most);
  if (tiles % most > 0) us += us_of_wave(tiles % most);
  return us;
}

/// In the tile that takes the least time; no bit depends on it.
template <DType kType>
void run(const Gpu& gpu, const TensorLinear& linear) {
  constexpr int kCount = static_cast<int>(sizeof(kTiles) / sizeof(TileCost));
  double costs[kCount];
  for (int i = 0; i < kCount; ++i) costs[i] = us_of(gpu, linear, kTiles[i]);
  const auto launch = [&]<int kTile>() {
    constexpr TileCost tile = kTiles[kTile];
    launch_linear_tensor<kType, tile.groups, tile.columns, tile.cluster>(gpu, linear);
  };
  switch (std::min_element(costs, costs + kCount) - costs) {
    case 0:
      return launch.template operator()<0>();
    case 1:
      return launch.template operator()<1>();
    case 2:
      return launch.template operator()<2>();
    case 3:
      return launch.template operator()<3>();
    default:
      return launch.template operator()<4>();
  }
}

/// Code for 9.0a: without its own instructions the kernel is empty.
bool has_code() {
  int device = 0;
  int major = 0;
  int minor = 0;
  cudaFuncAttributes attributes = {};
  const bool found =
      cudaGetDevice(&device) == cudaSuccess &&
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess &&
      major == 9 && minor == 0 && has_tensor_maps() &&
      cudaFuncGetAttributes(&attributes, linear_tensor<DType::bf16, 1, 32, 1>) == cudaSuccess;
  static_cast<void>(cudaGetLastError());
  return found && attributes.sharedSizeBytes > 0;
}

}  // namespace

bool has_linear_tensor() {
  static const bool has = has_code();  // a matter of the device and the build
  return has;
}

void run_linear_tensor(const Gpu& gpu, const TensorLinear& linear) {
  if (linear.rows == 0) return;
  if (linear.dtype == DType::bf16) {
    run<DType::bf16>(gpu, linear);
  } else {
    run<DType::f16>(gpu, linear);
  }
}

}  // namespace ingot::cuda
