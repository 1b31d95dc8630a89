// Router: the device of each launch that makes the predicted time of a step least, transfers included.
//
// Dynamic programming over the launches in their order. A state is what the rest of the step depends on: for
// each value that is still to be read the memories that have it, for each group that goes on its device. A
// state is dropped when another would be cheaper even if it paid for every copy that the first has and it
// lacks. That is exact; chains and transformers keep a handful of states. Where more than `most_states`
// remain, the cheapest go on, and a local search improves what comes out.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

namespace ingot::exec {

inline constexpr double kImpossible = std::numeric_limits<double>::infinity();
/// A state's copies of a value are bits of a byte.
inline constexpr size_t kMostDevices = 7;

struct RouteProblem {
  static constexpr int kNone = -1;

  struct Launch {
    std::vector<double> us;  // by device; kImpossible: it cannot run there
    std::vector<int> reads;  // values, each once; made by earlier launches or the host
    int group = kNone;       // launches of a group run on one device
  };
  /// Bytes that launches read. They are made once and cross to each other memory at most once.
  struct Value {
    int maker = kNone;            // launch; kNone: the host has it from the start
    bool is_output = false;       // the host reads it
    std::vector<double> move_us;  // by from * memories + to
  };

  std::vector<int> memory_of;  // by device
  int memories = 1;
  int host = 0;  // a memory
  int groups = 0;
  std::vector<Launch> launches;
  std::vector<Value> values;
};

struct Route {
  std::vector<int> device;  // by launch; empty if there is no way
  double us = kImpossible;
  bool is_exact = true;
  size_t most_states = 0;  // kept at once
};

Route find_route(const RouteProblem& problem, size_t most_states = 512);

/// The predicted time of an assignment: the objective that find_route minimises.
double route_us(const RouteProblem& problem, const std::vector<int>& device);

}  // namespace ingot::exec
