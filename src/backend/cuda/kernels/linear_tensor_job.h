// The parts of a prompt's linear that linear_tensor.h multiplies and finishes. Host only.
#pragma once

#include "backend/cuda/kernels/linear_job.h"

namespace ingot::cuda {

struct TensorParts {
  /// What this device does of a job; whatever its rows and addresses.
  explicit TensorParts(const LinearJob& job);

  bool has(size_t part) const { return is_tensor[part]; }
  /// Of decoded weights, at a time: what run() needs room for.
  int64_t decoded_values() const;
  /// Products, and all that follows them. `decoded`: decoded_values().
  void run(const Gpu& gpu, const RowPreparation& rows, uint16_t* decoded) const;

 private:
  int64_t decoded_outputs(const LinearPart& part) const;
  void run_direct(const Gpu& gpu, const RowPreparation& rows, DType dtype) const;
  void run_decoded(const Gpu& gpu, const RowPreparation& rows, size_t part, uint16_t* decoded) const;

  const LinearJob& job;
  std::array<bool, kMostLinearParts> is_tensor = {};
};

}  // namespace ingot::cuda
