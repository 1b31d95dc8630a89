// OpCase: one situation of one op. The same list serves four uses: correctness of a backend's kernels against
// the op's reference, speed (bytes and flops from the op's cost), the listing of what a backend supports,
// and, through BadCase, the errors of shape rules.
//
// An OpCase is a recipe; build() gives it a graph of one op and filled arrays, the same ones every time.
// Thread safety: as for values.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace ingot::opcases {

/// |found - expected| <= absolute + relative * |expected|. Both zero: equal bit for bit.
struct Tolerance {
  double absolute = 0;
  double relative = 0;
};

/// One unit in the last place of 1.0F.
inline constexpr double kEpsilon = 0x1p-23;

/// What a case's recipe builds with: a graph, and arrays for everything that is not an op.
class CaseBuilder {
 public:
  CaseBuilder(const graph::DimValues& dims, std::string_view name);

  graph::Graph& graph() { return graph_; }
  const graph::DimValues& dims() const { return dims_; }

  /// A step input of uniform numbers in [-scale, scale).
  graph::Value f32(std::vector<graph::Dim> dims, double scale = 1);
  /// A step input of these values.
  graph::Value f32(std::vector<graph::Dim> dims, std::vector<float> values);
  graph::Value i32(std::vector<graph::Dim> dims, std::vector<int32_t> values);
  /// A checkpoint's array of a weight type: uniform in [-scale, scale), rounded to the type.
  graph::Value weight(DType dtype, const Shape& shape, double scale = 1);
  graph::Value weight(Array array);
  /// State of uniform numbers, or of these integers.
  graph::Value state(std::vector<graph::Dim> dims);
  graph::Value state_i32(std::vector<graph::Dim> dims, std::vector<int32_t> values);

  /// The next number in [0, 1); below(n): the next integer in [0, n).
  double uniform();
  int32_t below(int64_t n);

 private:
  friend struct BuiltCase build(const struct OpCase& op_case);
  graph::TensorType type(DType dtype, std::vector<graph::Dim> dims) const;
  Array random(DType dtype, const Shape& shape, double scale);
  graph::Value add(graph::NodeKind kind, graph::TensorType type, Array array);

  graph::Graph graph_;
  graph::DimValues dims_;
  uint64_t random_state_;
  std::vector<Array> arrays_;  // by node
};

struct OpCase {
  std::string name;  // "linear/out_in/bf16/bias/17x33x65": the op's name comes first
  graph::DimValues dims;
  std::function<graph::Value(CaseBuilder&)> build;  // appends the op; everything before it is no op
  Tolerance tolerance = {};
  /// What a kernel may be off by beside that which rounds the operands of its products: absolute, for each
  /// unit of Kernel::rounding. 0: ops that multiply nothing.
  double per_rounding = 0;
  /// Row r of the output depends on row r of the step's inputs alone; tests permute, drop and add rows.
  bool rows_are_independent = false;
  /// Large enough to be worth timing.
  bool is_speed_case = false;
};

/// A case with a graph and arrays.
struct BuiltCase {
  graph::Graph graph;
  graph::DimValues dims;
  std::vector<Array> arrays;  // by node; the op's own and its results' are empty
  graph::Value result;        // the op's output

  const graph::Op& op() const { return *graph.node(result).op; }
  std::vector<graph::TensorType> input_types() const;
  /// The op's operands over `arrays`.
  std::vector<graph::Tensor> inputs() const;
  /// The result's type and shape, without an address.
  graph::Tensor output() const;
  /// The same of the op's further results.
  std::vector<graph::Tensor> results() const;
  graph::Cost cost() const { return op().cost(inputs(), output()); }
};

BuiltCase build(const OpCase& op_case);

/// A use of an op that its shape rule refuses with Error{invalid_argument} of exactly this message.
struct BadCase {
  std::string name;
  std::function<void(graph::Graph&)> build;
  std::string message;
};

/// A row of table.cc.
struct OpCases {
  std::string_view op;
  std::vector<OpCase> (*cases)();
  std::vector<BadCase> (*bad_cases)();
};

/// One row for each op of graph/op_table.h (a test compares them).
std::span<const OpCases> table();

/// The cases of one op; none for a name that is not in the table.
std::vector<OpCase> cases_of(std::string_view op);

/// The cases of all ops.
std::vector<OpCase> all_cases();

}  // namespace ingot::opcases
