// SpeedCase: one op on operands of one size, as `ingot bench ops` times it; SpeedGroup: an op over sizes.
//
// A fused op is timed as it is and as the ops of its definition. Values.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "graph/graph.h"

namespace ingot::exec {

/// What an operand is to the launches that follow each other in a model.
enum class OperandKind : uint8_t {
  activation,  // the op before has just made it
  weight,      // a weight or a cache: comes from memory, each launch another one
  integers,
};

struct SpeedCase {
  std::string shape;                                 // "[512, 4096] x [4096, 14336]"
  graph::Graph graph;                                // inputs and then one op, every extent static
  graph::Value result;                               // the op
  std::vector<OperandKind> kinds;                    // by node, of the inputs
  std::map<int32_t, std::vector<int32_t>> integers;  // by node
  backend::StepClass step = backend::StepClass::prefill;

  const graph::Op& op() const { return *graph.node(result).op; }
  int64_t elements() const;  // of the output
};

/// The graph of the op's definition on the same inputs; none where the op is not fused.
std::optional<graph::Graph> unfused_graph(const SpeedCase& speed_case);

struct SpeedGroup {
  std::string name;                           // "linear bf16"
  std::function<SpeedCase(int64_t)> of_size;  // about so many elements of output
  int64_t least = 1;                          // the smallest size it has
  std::vector<SpeedCase> model_sizes = {};    // those of models
  double target = 0;                          // times as fast as the CPU at models' sizes; 0: not asked
  double fused_target = 0;
};

/// Those of the operator table, in its order. `most_bytes`: of a cache's keys and values together; where more
/// are read, sequences share pages, far apart.
std::vector<SpeedGroup> speed_groups(size_t most_bytes);

}  // namespace ingot::exec
