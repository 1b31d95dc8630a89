// Attention of a step's rows by the teams of a program's blocks.
#pragma once

#include "backend/cuda/kernels/step_barrier.cuh"
#include "backend/cuda/kernels/step_program.h"

namespace ingot::cuda {

inline constexpr int kStepAttentionBytes = 32 << 10;

__device__ inline void attend_step(const StepAttention&, char*) {}
__device__ inline void join_step(const StepAttention&, char*) {}

}  // namespace ingot::cuda
