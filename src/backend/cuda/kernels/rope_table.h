// Cosines and sines of the rotary angles of each token.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

/// The frequencies travel with the launch: they live on the host.
struct RopeTable {
  static constexpr int kMostPairs = 512;  // of a launch; more take several

  const int32_t* positions = nullptr;  // [rows]
  float* table = nullptr;              // [rows, 2 * all_pairs]: cosines, then sines
  int64_t rows = 0;
  int all_pairs = 0;
  int first_pair = 0;
  int pairs = 0;
  double factor = 1;              // of cosines and sines
  float frequencies[kMostPairs];  // of the pairs from first_pair on, in radians a position
};
void run_rope_table(const Gpu& gpu, const RopeTable& table);

}  // namespace ingot::cuda
