// pointwise: a chain of point-wise steps as one pass over memory. The chain is data: one kernel runs them
// all.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "ingot/dtype.h"

namespace ingot::backend {
struct KernelQuery;
}

namespace ingot::cuda {

/// A chain with the places of its operands worked out: inputs lie in slots 0, 1 …; a result that only the
/// next step reads stays in registers, others have slots behind the inputs'.
struct PointwiseChain {
  static constexpr int kMaxInputs = 8;
  static constexpr int kMaxSteps = 16;
  static constexpr int8_t kBefore = -1;  // as an operand: the result of the step before
  static constexpr int8_t kNone = -2;    // no operand b; no slot for the result

  enum class Kind : uint8_t { add, mul, gelu_erf, gelu_tanh, silu };
  struct Step {
    Kind kind = Kind::add;
    int8_t a = kBefore;
    int8_t b = kNone;
    int8_t slot = kNone;  // where the result goes too
  };
  /// f32 of the output's size, or any trailing part of its shape, which repeats.
  struct Input {
    const void* data = nullptr;
    DType dtype = DType::f32;  // f32, f16 or bf16
    int64_t elements = 0;      // of which the output's are a multiple
  };

  Input inputs[kMaxInputs];
  Step steps[kMaxSteps];
  int input_count = 0;
  int step_count = 0;
  int slots = 0;         // inputs and results that are kept
  float* out = nullptr;  // [elements], the last step's result; may be an input of this size
  int64_t elements = 0;
};
void run_pointwise(const Gpu& gpu, const PointwiseChain& chain);

/// Whether every input's shape is the output's or a trailing part of it.
bool supports_pointwise(const backend::KernelQuery& query);

}  // namespace ingot::cuda
