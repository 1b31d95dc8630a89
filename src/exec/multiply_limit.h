// Which of a device's peaks bounds products with weights of a type.
#pragma once

#include <string_view>

#include "backend/backend.h"

namespace ingot::exec {

struct MultiplyLimit {
  double gflops = 0;
  std::string_view unit;  // "GFLOP/s", or "GOP/s" of 8-bit integers
};

/// Devices with units for 16-bit matrices take them for every type but f32 (blocks are decoded to 16 bits,
/// for prompts); those without multiply blocks as 8-bit integers and the rest in f32.
inline MultiplyLimit multiply_limit(const backend::Peaks& peaks, DType weight) {
  const bool is_narrow = weight != DType::f32;
  if (is_narrow && peaks.matrix16_gflops > 0) return {peaks.matrix16_gflops, "GFLOP/s"};
  if (is_block_dtype(weight)) return {peaks.int8_gops, "GOP/s"};
  return {peaks.f32_gflops, "GFLOP/s"};
}

}  // namespace ingot::exec
