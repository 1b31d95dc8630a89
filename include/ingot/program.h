// Program: a compiled graph with its memory, ready to run. Made by Graph::compile() (graph.h).
//
// Owns its devices, its plans and its memory; shares the constants of the graph. Used by one thread at a
// time; several programs may run side by side. Every function throws ingot::Error and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/array.h"

namespace ingot {

namespace api {
struct Access;
}

/// Arrays by name.
using NamedArrays = std::map<std::string, Array, std::less<>>;

/// What a run returned, by name.
class Outputs {
 public:
  explicit Outputs(NamedArrays arrays) : arrays_(std::move(arrays)) {}
  /// Errors: invalid_argument for a name that is no output; the message lists those that are.
  Array operator[](std::string_view name) const;
  const NamedArrays& arrays() const { return arrays_; }

 private:
  NamedArrays arrays_;
};

struct ProgramStatistics {
  int64_t runs = 0;
  int64_t compiles = 0;          // 1, and one for each run that was longer than any before
  int64_t most = 0;              // the T that memory is planned for now
  int64_t launches = 0;          // kernel calls a run
  int64_t launches_unfused = 0;  // what they were without fusion
  int64_t arena_bytes = 0;       // intermediate values and workspace
  int64_t input_bytes = 0;       // room for the inputs of the longest run
  int64_t constant_bytes = 0;    // read in place
  int64_t state_bytes = 0;
  int64_t moved_bytes = 0;  // between devices, by all runs
};

/// A graph on its way: as it was built (without what no output needs), or as it runs.
enum class GraphStage : uint8_t { built, fused };

class Program {
 public:
  ~Program();
  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;

  /// Runs on these inputs and returns every output in memory of its own. All inputs must be there and agree
  /// on T. A longer run than any before compiles anew, for the next power of two. Errors: invalid_argument,
  /// naming the input, for one that is missing or unknown, of another type or shape, or with an element
  /// outside the range that the ops allow (embedding(), kv_write(), attention()); out_of_memory. Nothing has
  /// run then.
  Outputs run(const NamedArrays& inputs);

  /// The same into arrays that are there already: `outputs` holds an array of the right
  /// type and shape for every output that is wanted. Errors: also invalid_argument for one that is no
  /// output, of another type or shape, or read-only.
  void run_into(const NamedArrays& inputs, NamedArrays& outputs);

  /// A state's array, to read and write between runs; it shares the program's memory. Errors:
  /// invalid_argument for a name that is no state.
  Array state(std::string_view name) const;

  /// One line a value. Errors: none.
  std::string to_text(GraphStage stage = GraphStage::fused) const;
  ProgramStatistics statistics() const;
  /// What was asked for and could not be had: devices passed over, with the reason.
  std::vector<std::string> notes() const;

 private:
  friend struct api::Access;
  struct Impl;
  explicit Program(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot
