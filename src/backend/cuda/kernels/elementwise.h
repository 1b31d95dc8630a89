// add, mul, gelu, silu: one pass over memory each.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "ingot/dtype.h"

namespace ingot::cuda {

enum class UnaryKind : uint8_t { gelu_erf, gelu_tanh, silu };

struct Unary {
  UnaryKind kind = UnaryKind::silu;
  const float* x = nullptr;  // [elements]
  float* out = nullptr;      // [elements]; may be x
  int64_t elements = 0;
};
void run_unary(const Gpu& gpu, const Unary& unary);

enum class BinaryKind : uint8_t { add, mul };

/// out[i] = a[i] + or * b[i % row], rounded once.
struct Binary {
  BinaryKind kind = BinaryKind::add;
  const float* a = nullptr;  // [elements]
  const void* b = nullptr;   // [row]
  DType b_dtype = DType::f32;
  float* out = nullptr;  // [elements]; may be a
  int64_t elements = 0;  // a multiple of row
  int64_t row = 0;
};
void run_binary(const Gpu& gpu, const Binary& binary);

}  // namespace ingot::cuda
