// An op case timed on a backend: what calibration measures with.
//
// A case's weights and states may be taken from an arena, another copy for each launch, so that together they
// are as large as a step's and no cache holds them from one launch to the next. Used by one thread.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "exec/cost_model.h"
#include "opcases/op_case.h"

namespace ingot::exec {

/// Device memory full of small finite numbers in every weight type.
class Arena {
 public:
  Arena(backend::Backend& backend, double bytes);
  double bytes() const { return static_cast<double>(buffer_.bytes()); }
  std::byte* data() const { return static_cast<std::byte*>(buffer_.data()); }

 private:
  PooledBuffer buffer_;
};

struct Sample {
  Work work;
  double rows = 0;       // of the output
  double set_bytes = 0;  // that the launches went through
  double us = 0;         // one launch, as one of many that follow each other
};

class TimedCase {
 public:
  TimedCase(backend::Backend& backend, const Arena& arena, const opcases::OpCase& op_case,
            backend::StepClass step);

  /// Null where the backend has none; nothing else may be asked for then.
  const backend::Kernel* kernel() const { return kernel_; }
  const graph::Op& op() const { return built_.op(); }
  std::span<const graph::Tensor> inputs() const { return inputs_; }

  /// What a launch takes over a working set of about `set_bytes` (0: the operands' own), disturbed as little
  /// as may be.
  Sample measure(double set_bytes);

 private:
  double batch_us(size_t copies, size_t launches);

  backend::Backend& backend_;
  const Arena& arena_;
  opcases::BuiltCase built_;
  const backend::Kernel* kernel_ = nullptr;
  std::vector<graph::Tensor> inputs_;
  graph::Tensor output_;
  std::vector<graph::Tensor> results_;
  std::vector<size_t> moving_;  // inputs that come from the arena
  size_t moving_bytes_ = 0;     // of one copy of them
  size_t next_copy_ = 0;
  std::vector<PooledBuffer> buffers_;
  PooledBuffer workspace_;
};

}  // namespace ingot::exec
