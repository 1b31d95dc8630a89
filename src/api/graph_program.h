// What a Program holds; shared by the files that implement it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/devices.h"
#include "api/graph_checks.h"
#include "backend/backend.h"
#include "exec/plan.h"
#include "exec/plan_cache.h"
#include "exec/runner.h"
#include "ingot/graph.h"

namespace ingot {

struct Program::Impl {
  /// An input as runs bring it.
  struct Input {
    std::string name;
    graph::Value value;  // in `graph`
    graph::TensorType type;
    void* buffer = nullptr;  // of the runner; null where the plan does not read it
  };

  Impl(const api::GraphBuilder& builder, const ProgramOptions& options);

  /// Refuses what would lose states: they stay in the memory of their device, which cannot be read back yet.
  void expect_host_states(std::string_view what) const;
  /// Plans for a T of `length` and takes the plan and its memory into use.
  void plan_for(int64_t length);
  /// Checks the arrays and returns the run's T.
  graph::DimValues bind(const NamedArrays& arrays) const;
  /// Checks, and runs.
  void step(const NamedArrays& arrays);
  /// The output of the last run.
  graph::Tensor output(const std::string& name) const { return runner->output(0, name); }
  const graph::Output* find_output(std::string_view name) const;
  ProgramStatistics statistics() const;

  std::shared_ptr<const graph::Graph> graph;  // what the outputs need, before fusion
  api::RunChecks checks;                      // over `graph`
  CompileOptions options;
  backend::StepClass step_class = backend::StepClass::decode;
  bool has_any = false;  // whether the graph has a T
  std::vector<Input> inputs;
  std::map<std::string, Array, std::less<>> states;
  api::Devices devices;
  exec::PlanCache plans;
  std::shared_ptr<const exec::Plan> plan;
  std::unique_ptr<exec::Runner> runner;  // after the devices, which it uses
  ProgramStatistics counted;             // what statistics() does not read elsewhere
  uint64_t moved_bytes_before = 0;       // by runners of shorter plans
};

namespace api {

/// The graph of everything that outputs need and that writes to states. `moved[i]`: where node i went, or
/// empty.
struct Needed {
  std::shared_ptr<const graph::Graph> graph;
  std::vector<graph::Value> moved;
};
Needed needed_part(const graph::Graph& graph);

}  // namespace api
}  // namespace ingot
