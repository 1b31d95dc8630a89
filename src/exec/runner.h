// Runner: runs plans, one step at a time, without allocating.
//
// Owns the arena and the buffers of step inputs, both shared by all its plans; keeps the plans and the
// states' memory alive. Used by one thread at a time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "exec/plan.h"

namespace ingot::exec {

class Runner {
 public:
  /// `states` has the storage of every state the plans read, by name, large enough for their buckets.
  /// Errors: not_found for a state that is missing, invalid_argument for one of another type or shape,
  /// out_of_memory.
  Runner(backend::Backend& backend, std::vector<std::shared_ptr<const Plan>> plans,
         std::map<std::string, Array, std::less<>> states);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  /// The buffer of a step input at its largest size; write it before run(). Errors: not_found.
  graph::Tensor input(std::string_view name) const;

  /// Runs a plan at these sizes, each at most the bucket's. The outputs are ready when it returns.
  void run(size_t plan, const graph::DimValues& dims);

  /// An output of the plan that ran last, at that step's sizes; valid until the next run(). Errors:
  /// not_found.
  graph::Tensor output(size_t plan, std::string_view name) const;

  const Plan& plan(size_t index) const;
  /// Bytes of arena, workspace and step inputs.
  size_t bytes() const;

 private:
  struct Bound;
  void bind(Bound& bound, const graph::DimValues& dims) const;

  backend::Backend& backend_;
  std::map<std::string, Array, std::less<>> states_;
  std::map<std::string, graph::Tensor, std::less<>> inputs_;
  std::vector<PooledBuffer> input_buffers_;
  PooledBuffer arena_;
  size_t input_bytes_ = 0;
  size_t arena_bytes_ = 0;
  std::vector<std::unique_ptr<Bound>> bound_;
};

}  // namespace ingot::exec
