// A recorded slice's segments, and the device memory of their programs.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda/step_builder.h"
#include "memory/buffer_pool.h"

namespace ingot::cuda {

class StepPrograms {
 public:
  /// Brings the programs of all segments to `memory` of programs_bytes(segments), in the order of `stream`.
  /// Errors: device_failed.
  StepPrograms(std::vector<StepSegment> segments, PooledBuffer memory, cudaStream_t stream);

  static size_t bytes(const std::vector<StepSegment>& segments);
  const std::vector<StepSegment>& segments() const { return segments_; }
  /// Of a segment that has one.
  const StepProgram& program(size_t segment) const { return programs_[segment]; }

 private:
  std::vector<StepSegment> segments_;
  std::vector<StepProgram> programs_;
  PooledBuffer memory_;
};

}  // namespace ingot::cuda
