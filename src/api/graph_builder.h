// What a Graph and its Values share: the internal graph under construction, and the checks of every entry.
#pragma once

#include <exception>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <vector>

#include "api/graph_checks.h"
#include "base/check.h"
#include "graph/graph.h"
#include "ingot/graph.h"

namespace ingot::api {

/// Elements of a value at most, with the variable length taken as 1: dimensions can then be added and
/// multiplied without overflow.
inline constexpr double kMostElements = 0x1p40;

struct GraphBuilder {
  graph::Graph graph;
  std::set<std::string, std::less<>> names;  // of inputs, constants and states
  RunChecks checks;
  int64_t constants = 0;  // for names

  /// Checks a name that the user chose and takes it.
  void take_name(std::string_view what, const std::string& name);
  /// A name that is not taken, for a constant without one.
  std::string free_name();
};

/// The private parts of the public types.
struct Access {
  static Value value(std::shared_ptr<GraphBuilder> builder, graph::Value id);
  static const std::shared_ptr<GraphBuilder>& builder(const Value& value) { return value.builder_; }
  static const std::shared_ptr<GraphBuilder>& builder(const Graph& graph) { return graph.builder_; }
  static graph::Value id(const Value& value) { return {value.id_}; }
  static Program compile(const GraphBuilder& builder, const ProgramOptions& options);
};

graph::Dim to_internal(Dim dim);
Dim to_public(const graph::Dim& dim);
std::vector<graph::Dim> to_internal(const std::vector<Dim>& dims);

/// Errors: invalid_argument, named `what`, for more dimensions than an array has, a negative length, or more
/// than kMostElements.
void expect_size(std::string_view what, const graph::TensorType& type);

/// Runs f; whatever it throws leaves as an Error.
template <class F>
auto guarded(std::string_view what, F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::out_of_memory, "{}: memory ran out", what);
  } catch (const std::exception& error) {
    fail(ErrorCode::internal, "{}: {}", what, error.what());
  }
}

}  // namespace ingot::api
