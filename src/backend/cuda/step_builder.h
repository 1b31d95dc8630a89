// Turns the launches of a recorded step into programs for the persistent kernel (kernels/step_program.h).
#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/kernels/step_program.h"

namespace ingot::cuda {

/// Launches first … first + launches of a slice: one after another, or as a program.
struct StepSegment {
  size_t first = 0;
  size_t launches = 0;
  std::vector<StepInstruction> instructions = {};  // none: one after another
  std::vector<uint32_t> launch_of = {};            // by instruction: of the slice
  int row_bytes = 0;
  StepHeads heads = {};
};

struct StepPlan {
  std::vector<StepSegment> segments;
  size_t scratch_bytes = 0;
};

/// Cuts a slice into segments: as much as possible in programs. What a program can have: linears of few rows
/// with 16-bit weights, linear_qkv, attention. `scratch`: device memory for what passes between instructions,
/// of scratch_bytes; null to find out how much that is.
StepPlan plan_step(const Gpu& gpu, const backend::Slice& slice, std::byte* scratch);

}  // namespace ingot::cuda
