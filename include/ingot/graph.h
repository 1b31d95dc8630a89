// The graph API: build a graph of ops, compile it for shapes and devices, run it on arrays.
//
//   ingot::Graph g;
//   auto x = g.input("x", ingot::DType::f32, {ingot::Dim::any(), 512});
//   auto w = g.constant(weights);
//   auto b = g.constant(bias);
//   g.output("y", gelu(matmul(x, w) + b));
//   ingot::Program program = g.compile({.most = 64});
//   ingot::Array y = program.run({{"x", rows}})["y"];
//
// A Graph says what is computed; a Value is one result in it, and graph_ops.h makes values from values.
// Nothing runs before Program::run(). Graphs, and the values of one graph, are used by one thread at a time;
// graphs are independent of each other, and a program of the graph it came from. Every function throws
// ingot::Error and nothing else: invalid_argument names the op or parameter, what was expected and what was
// found. An op that throws leaves the graph usable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/array.h"
#include "ingot/compile_options.h"
#include "ingot/error.h"
#include "ingot/graph_ops.h"
#include "ingot/program.h"
#include "ingot/value.h"

namespace ingot {

struct ProgramOptions {
  /// The T that memory is planned for, at least 1 where the graph has one. Shorter runs need no new plan,
  /// longer ones get one. It also decides, for good, between the kernels for few rows and those for 16 and
  /// more, so that a row's bits are the same however long its run is.
  int64_t most = 0;
  CompileOptions options = {};
};

class Graph {
 public:
  Graph();
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;

  /// An array that every run brings, by name. Errors: invalid_argument for an empty name or one that is
  /// taken, more than Shape::kMaxRank dimensions, a negative length, or more than 2^40 elements.
  Value input(std::string name, DType dtype, const std::vector<Dim>& dims);

  /// An array that never changes: weights. Its bytes are read in place, not copied: leave them as they are
  /// for as long as graph, values or programs live. Without a name it gets one. Errors: as for input().
  Value constant(const Array& array, std::string name = {});

  /// An array that a program keeps from run to run, zero at first; Program::state() gives access. kv_write()
  /// changes it. Errors: as for input(), and for a length that is not fixed.
  Value state(std::string name, DType dtype, const std::vector<Dim>& dims);

  /// What run() returns under this name. Errors: invalid_argument for a value of another graph, an empty name
  /// or an output's name.
  void output(std::string name, const Value& value);

  /// Values made from now on belong to this layer, for CompileOptions::layers. Errors: invalid_argument for a
  /// negative one.
  void set_layer(int64_t layer);

  /// One line a value, as built: "%3 = gelu(%2; erf) : f32[T, 512]".
  std::string to_text() const;

  /// Fuses, gives each op a device and a kernel, plans memory. What no output needs is left out. Errors:
  /// invalid_argument for a graph without outputs, `most` out of its range, passes, ops or devices that do
  /// not exist, or a negative threshold; unsupported where no device has a kernel; out_of_memory.
  Program compile(const ProgramOptions& options = {}) const;

 private:
  friend struct api::Access;
  std::shared_ptr<api::GraphBuilder> builder_;
};

}  // namespace ingot
