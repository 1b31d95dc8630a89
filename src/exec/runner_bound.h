// Runner::Bound: a plan with addresses, and its slices. For runner.cc, which runs it, and runner_bind.cc,
// which makes it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"
#include "exec/runner.h"

namespace ingot::exec {

inline size_t index(graph::Value value) {
  return static_cast<size_t>(value.id);
}

/// A plan with addresses, for one frame: tensors by node, and launches whose inputs lie side by side.
struct Runner::Bound {
  struct Copy {
    void* to = nullptr;
    void* from = nullptr;
  };
  /// Launches in a row on one device, after the copies they read.
  struct Slice {
    int device = 0;
    std::vector<size_t> moves;  // transfers that the host makes itself before
    std::vector<size_t> in;     // transfers that the device makes: from host memory, before the launches
    std::vector<size_t> out;    // and to it, after them
    size_t first_launch = 0;
    size_t launches = 0;
    std::vector<backend::Copy> copies_in;   // of `in`, at the bound sizes
    std::vector<backend::Copy> copies_out;  // of `out`
  };
  /// What of the plan feeds a step with what the one before gave.
  struct Feed {
    size_t in = 0;   // transfer of feed_input
    size_t out = 0;  // transfer of feed_output
  };

  std::shared_ptr<const Plan> plan;
  int frame = 0;
  std::vector<graph::Tensor> values;    // by node, where it was made
  std::vector<graph::Tensor> operands;  // inputs and results of all launches, one after the other
  std::vector<size_t> operand_of;       // by operand: its node
  std::vector<graph::Tensor> outputs;   // by output of the graph, in host memory
  std::vector<backend::Launch> launches;
  std::vector<const backend::Kernel*> kernels;
  std::vector<Copy> copies;  // by transfer
  std::vector<Slice> slices;
  std::vector<size_t> last_moves;  // transfers that the host makes after all slices
  std::optional<Feed> feed;
  bool is_recorded = false;  // a device records slices
  std::map<decltype(graph::DimValues::values), uint64_t>
      ids;                // of the first slice, by sizes; fed ones come after
  graph::DimValues dims;  // that the shapes are bound to
  bool is_bound = false;

  /// The copy of a value that another memory made, in this one.
  const Copy& copy_in(graph::Value value, int memory) const {
    const graph::Value base = viewed(*plan->graph, value);
    for (size_t i = 0; i < copies.size(); ++i) {
      if (plan->transfers[i].value == base && plan->transfers[i].to == memory) return copies[i];
    }
    fail(ErrorCode::internal, "runner: value {} was never brought to memory {}", value.id, memory);
  }
};

}  // namespace ingot::exec
