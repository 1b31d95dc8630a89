#include "ingot/graph.h"

#include <algorithm>

#include "api/graph_builder.h"
#include "graph/print.h"

namespace ingot {
namespace api {

Value Access::value(std::shared_ptr<GraphBuilder> builder, graph::Value id) {
  Value value;
  value.builder_ = std::move(builder);
  value.id_ = id.id;
  return value;
}

void GraphBuilder::take_name(std::string_view what, const std::string& name) {
  if (name.empty()) fail(ErrorCode::invalid_argument, "{}: expected a name, found an empty one", what);
  if (names.contains(name)) {
    fail(ErrorCode::invalid_argument, "{}: expected a name of its own, found '{}' a second time", what, name);
  }
  names.insert(name);
}

std::string GraphBuilder::free_name() {
  std::string name;
  do {
    name = fmt::format("constant {}", constants++);
  } while (names.contains(name));
  return name;
}

graph::Dim to_internal(Dim dim) {
  const int64_t offset = dim.at(0);
  if (dim.is_fixed()) return offset;
  return graph::Dim(dim.at(1) - offset) * graph::Dim(graph::Symbol::tokens) + graph::Dim(offset);
}

Dim to_public(const graph::Dim& dim) {
  graph::DimValues values;
  const int64_t offset = dim.bind(values);
  values[graph::Symbol::tokens] = 1;
  return (dim.bind(values) - offset) * Dim::any() + offset;
}

std::vector<graph::Dim> to_internal(const std::vector<Dim>& dims) {
  std::vector<graph::Dim> result;
  result.reserve(dims.size());
  for (const Dim& dim : dims) result.push_back(to_internal(dim));
  return result;
}

void expect_size(std::string_view what, const graph::TensorType& type) {
  if (type.rank() > Shape::kMaxRank) {
    fail(ErrorCode::invalid_argument, "{}: expected at most {} dimensions, found {}", what, Shape::kMaxRank,
         type.rank());
  }
  graph::DimValues values;
  values[graph::Symbol::tokens] = 1;
  double elements = 1;
  for (const graph::Dim& dim : type.dims) {
    const int64_t length = dim.bind(values);
    if (length < 0) {
      fail(ErrorCode::invalid_argument, "{}: expected lengths of at least 0, found {}", what,
           to_string(type));
    }
    elements *= static_cast<double>(std::max<int64_t>(length, 1));
  }
  if (elements > kMostElements) {
    fail(ErrorCode::invalid_argument, "{}: expected at most 2^40 elements, found {}", what, to_string(type));
  }
}

}  // namespace api

using api::Access;
using api::guarded;

namespace {

constexpr int64_t kMostLength = int64_t{1} << 40;

bool is_in_range(int64_t value) {
  return value >= 0 && value <= kMostLength;
}

}  // namespace

Dim Dim::any() {
  Dim dim(0);
  dim.factor_ = 1;
  return dim;
}

Dim operator*(int64_t factor, Dim dim) {
  // Both operands below 2^40, so doubles tell whether the product is.
  const auto fits = [&](int64_t a) {
    return is_in_range(a) && static_cast<double>(a) * static_cast<double>(factor) <= kMostLength;
  };
  if (!is_in_range(factor) || !fits(dim.factor_) || !fits(dim.offset_)) {
    fail(ErrorCode::invalid_argument, "dim: expected a length of 0 to 2^40, found {} times {}", factor,
         to_string(dim));
  }
  dim.factor_ *= factor;
  dim.offset_ *= factor;
  return dim;
}

Dim operator+(Dim dim, int64_t offset) {
  if (!is_in_range(offset) || !is_in_range(dim.offset_) || !is_in_range(dim.offset_ + offset)) {
    fail(ErrorCode::invalid_argument, "dim: expected a length of 0 to 2^40, found {} and {} more",
         to_string(dim), offset);
  }
  dim.offset_ += offset;
  return dim;
}

std::string to_string(Dim dim) {
  if (dim.is_fixed()) return fmt::format("{}", dim.offset_);
  return fmt::format("{}T{}", dim.factor_ == 1 ? "" : fmt::format("{}", dim.factor_),
                     dim.offset_ == 0 ? "" : fmt::format("{:+}", dim.offset_));
}

namespace {

const graph::TensorType& type_of(const Value& value) {
  if (Access::builder(value) == nullptr) {
    fail(ErrorCode::invalid_argument, "value: expected one of a graph, found an empty one");
  }
  return Access::builder(value)->graph.type(Access::id(value));
}

}  // namespace

DType Value::dtype() const {
  return type_of(*this).dtype;
}

std::vector<Dim> Value::dims() const {
  return guarded("value", [&] {
    std::vector<Dim> dims;
    for (const graph::Dim& dim : type_of(*this).dims) dims.push_back(api::to_public(dim));
    return dims;
  });
}

std::string to_string(const Value& value) {
  return guarded("value", [&] { return to_string(type_of(value)); });
}

Graph::Graph() : builder_(guarded("graph", [] { return std::make_shared<api::GraphBuilder>(); })) {}
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;

Value Graph::input(std::string name, DType dtype, const std::vector<Dim>& dims) {
  return guarded("input", [&] {
    graph::TensorType type{dtype, api::to_internal(dims)};
    api::expect_size(fmt::format("input '{}'", name), type);
    builder_->take_name("input", name);
    return Access::value(builder_, builder_->graph.input(std::move(name), std::move(type)));
  });
}

Value Graph::constant(const Array& array, std::string name) {
  return guarded("constant", [&] {
    graph::TensorType type{array.dtype(), {}};
    for (int64_t length : array.shape().lengths()) type.dims.emplace_back(length);
    if (name.empty()) name = builder_->free_name();
    api::expect_size(fmt::format("constant '{}'", name), type);
    builder_->take_name("constant", name);
    return Access::value(builder_, builder_->graph.weight(std::move(name), array));
  });
}

Value Graph::state(std::string name, DType dtype, const std::vector<Dim>& dims) {
  return guarded("state", [&] {
    graph::TensorType type{dtype, api::to_internal(dims)};
    const std::string what = fmt::format("state '{}'", name);
    for (const graph::Dim& dim : type.dims) {
      if (!dim.is_static()) {
        fail(ErrorCode::invalid_argument, "{}: expected fixed lengths, found {}", what, to_string(type));
      }
    }
    api::expect_size(what, type);
    builder_->take_name("state", name);
    return Access::value(builder_, builder_->graph.state(std::move(name), std::move(type)));
  });
}

void Graph::output(std::string name, const Value& value) {
  guarded("output", [&] {
    if (Access::builder(value) != builder_) {
      fail(ErrorCode::invalid_argument, "output '{}': expected a value of this graph, found one of {}", name,
           Access::builder(value) == nullptr ? "none" : "another");
    }
    if (name.empty()) fail(ErrorCode::invalid_argument, "output: expected a name, found an empty one");
    for (const graph::Output& output : builder_->graph.outputs()) {
      if (output.name == name) {
        fail(ErrorCode::invalid_argument, "output: expected a name of its own, found '{}' a second time",
             name);
      }
    }
    builder_->graph.output(std::move(name), Access::id(value));
  });
}

void Graph::set_layer(int64_t layer) {
  if (layer < 0 || layer > INT32_MAX) {
    fail(ErrorCode::invalid_argument, "layer: expected 0 to {}, found {}", INT32_MAX, layer);
  }
  builder_->graph.set_layer(static_cast<int32_t>(layer));
}

std::string Graph::to_text() const {
  return guarded("graph", [&] { return graph::to_text(builder_->graph); });
}

}  // namespace ingot
