// What linears take beside rows and weights: biases and parameters of norms, of any float type.
#pragma once

#include "ingot/dtype.h"

namespace ingot::cuda {

/// Floats in their own type, decoded where they are used.
struct FloatRow {
  const void* data = nullptr;  // null: there are none
  DType dtype = DType::f32;    // f32, f16 or bf16
};

enum class LinearActivation : uint8_t { none, gelu_erf, gelu_tanh, silu };
enum class LinearNorm : uint8_t { none, rms, layer };

}  // namespace ingot::cuda
