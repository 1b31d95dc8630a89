// Linears of few rows with 16-bit weights: bound by reading the weights once.
//
// The order of a row's sum: K is cut into steps of 32, the steps into kSlices runs of even length; a run is
// summed by one chain of matrix instructions; the runs are added in fours, first to last, then the fours.
// None of it depends on the rows, nor on how a kernel cuts up the outputs, so that every kernel that keeps to
// it gives the same bits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backend/cuda/kernels/activation_rows.h"
#include "backend/cuda/kernels/linear_epilogue.h"

namespace ingot::cuda {

inline constexpr int kMostLinearParts = 8;

/// One linear, or the two of a gated pair.
struct SkinnyPart {
  const void* weight = nullptr;  // [outputs, in]
  const void* up = nullptr;      // the second factor's, of gated ones
  FloatRow bias = {};            // [outputs]
  FloatRow up_bias = {};
  float* out = nullptr;          // [rows, outputs]
  uint16_t* out_bf16 = nullptr;  // the same rounded, for the linear behind it; null: not wanted
  bool is_out_read = true;       // else out_bf16 alone is read: kernels need not write out
  int32_t outputs = 0;
};

struct SkinnyLinear {
  DType dtype = DType::bf16;  // of every weight: bf16 or f16
  int64_t rows = 0;
  int64_t in = 0;                     // a multiple of 8
  const void* x = nullptr;            // [rows, prepared_pitch(in)] of the weights' type
  const float* row_scales = nullptr;  // [rows], of f16

  SkinnyPart parts[kMostLinearParts] = {};
  int part_count = 0;
  LinearEpilogue epilogue = {};  // only with one part
};
/// Outputs of a tile of some 10 to 64 rows, on which no bit depends: the rule's first, then others to be
/// tried. Empty for fewer rows, or where this device or build has no kernel for them.
std::vector<int> batch_tiles(const Gpu& gpu, const SkinnyLinear& linear);
inline constexpr int kTallTile = -1;                             // that of linear_tall.h
inline constexpr std::string_view kBatchTileName = "tiles of ";  // and the number
inline std::string batch_tile_name(int tile) {
  return tile == kTallTile ? "tall tiles" : std::string(kBatchTileName) + std::to_string(tile);
}

/// May read the weights while the kernel ahead is still running. `batch_tile`: one of batch_tiles(); 0: the
/// rule's.
void run_linear_skinny(const Gpu& gpu, const SkinnyLinear& linear, int batch_tile = 0);

}  // namespace ingot::cuda
