// A recorded slice's segments, and the device memory of their programs.
#pragma once

#include <functional>
#include <vector>

#include "backend/cuda/step_builder.h"
#include "memory/buffer_pool.h"

namespace ingot::cuda {

class StepPrograms {
 public:
  /// Plans the slice and brings the programs of its segments to the device, in the order of `stream`. Errors:
  /// device_failed, and those of `allocate`.
  StepPrograms(const Gpu& gpu, const backend::Slice& slice,
               const std::function<PooledBuffer(size_t bytes)>& allocate);

  ~StepPrograms();
  const std::vector<StepSegment>& segments() const { return segments_; }
  /// Of a segment that has one.
  const StepProgram& program(size_t segment) const { return programs_[segment]; }

 private:
  std::vector<StepSegment> segments_;
  std::vector<StepProgram> programs_;
  PooledBuffer memory_;
};

}  // namespace ingot::cuda
