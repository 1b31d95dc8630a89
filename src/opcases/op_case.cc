#include "opcases/op_case.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/check.h"
#include "dtype/formats.h"
#include "opcases/random_blocks.h"

namespace ingot::opcases {

using graph::Dim;
using graph::NodeKind;
using graph::Tensor;
using graph::TensorType;
using graph::Value;

namespace {

/// FNV-1a: each case has its own numbers, the same on every machine.
uint64_t hash(std::string_view text) {
  uint64_t value = 0xcbf29ce484222325U;
  for (char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return value;
}

/// A number within [-scale, scale] for a random one in [0, 1): the nearest below it in size.
std::byte random_f8(double scale, double random) {
  const double value = (2 * random - 1) * scale;
  int bits = 0;
  while (bits < 0x7e && dtype::decode(dtype::F8E4M3{static_cast<unsigned char>(bits + 1)}) <= std::abs(value))
    ++bits;
  return static_cast<std::byte>(bits | (value < 0 ? 0x80 : 0));
}

}  // namespace

CaseBuilder::CaseBuilder(const graph::DimValues& dims, std::string_view name)
    : dims_(dims), random_state_(hash(name)) {}

/// SplitMix64 (Steele et al., 2014): small, and unlike std::uniform_real_distribution equal everywhere.
double CaseBuilder::uniform() {
  uint64_t z = random_state_ += 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

int32_t CaseBuilder::below(int64_t n) {
  return static_cast<int32_t>(uniform() * static_cast<double>(n));
}

TensorType CaseBuilder::type(DType dtype, std::vector<Dim> dims) const {
  return {dtype, std::move(dims)};
}

Array CaseBuilder::random(DType dtype, const Shape& shape, double scale) {
  Array array = Array::empty(dtype, shape);
  if (is_block_dtype(dtype)) {
    random_blocks(dtype, {array.mutable_raw(), array.bytes()}, scale, [this] { return uniform(); });
    return array;
  }
  for (int64_t i = 0; i < array.elements(); ++i) {
    const auto value = static_cast<float>((2 * uniform() - 1) * scale);
    switch (dtype) {
      case DType::f32:
        array.mutable_data<float>()[i] = value;
        break;
      case DType::f16:
        array.mutable_data<uint16_t>()[i] = dtype::encode_f16(value).bits;
        break;
      case DType::bf16:
        array.mutable_data<uint16_t>()[i] = dtype::encode_bf16(value).bits;
        break;
      case DType::f8_e4m3:  // any bits but those of NaN, whose exponent makes the value at most `scale`
        array.mutable_raw()[i] = random_f8(scale, uniform());
        break;
      default:
        INGOT_CHECK(false, "random numbers of type {}", to_string(dtype));
    }
  }
  return array;
}

Value CaseBuilder::add(NodeKind kind, TensorType type, Array array) {
  const std::string name = fmt::format("operand {}", arrays_.size());
  arrays_.push_back(array);
  switch (kind) {
    case NodeKind::input:
      return graph_.input(name, std::move(type));
    case NodeKind::weight:
      return graph_.weight(name, std::move(array));
    default:
      return graph_.state(name, std::move(type));
  }
}

Value CaseBuilder::f32(std::vector<Dim> dims, double scale) {
  TensorType t = type(DType::f32, std::move(dims));
  const Shape shape = t.bind(dims_);
  return add(NodeKind::input, std::move(t), random(DType::f32, shape, scale));
}

Value CaseBuilder::f32(std::vector<Dim> dims, std::vector<float> values) {
  TensorType t = type(DType::f32, std::move(dims));
  const Shape shape = t.bind(dims_);
  return add(NodeKind::input, std::move(t), Array::from(std::span<const float>(values), shape));
}

Value CaseBuilder::i32(std::vector<Dim> dims, std::vector<int32_t> values) {
  TensorType t = type(DType::i32, std::move(dims));
  const Shape shape = t.bind(dims_);
  return add(NodeKind::input, std::move(t), Array::from(std::span<const int32_t>(values), shape));
}

Value CaseBuilder::weight(DType dtype, const Shape& shape, double scale) {
  return add(NodeKind::weight, {}, random(dtype, shape, scale));
}

Value CaseBuilder::weight(Array array) {
  return add(NodeKind::weight, {}, std::move(array));
}

Value CaseBuilder::state(std::vector<Dim> dims) {
  TensorType t = type(DType::f32, std::move(dims));
  const Shape shape = t.bind(dims_);
  return add(NodeKind::state, std::move(t), random(DType::f32, shape, 1));
}

Value CaseBuilder::state_i32(std::vector<Dim> dims, std::vector<int32_t> values) {
  TensorType t = type(DType::i32, std::move(dims));
  const Shape shape = t.bind(dims_);
  return add(NodeKind::state, std::move(t), Array::from(std::span<const int32_t>(values), shape));
}

BuiltCase build(const OpCase& op_case) {
  CaseBuilder builder(op_case.dims, op_case.name);
  const Value result = op_case.build(builder);
  INGOT_CHECK(static_cast<size_t>(result.id) == builder.arrays_.size(), "{}: expected one op, the last node",
              op_case.name);
  builder.arrays_.resize(builder.graph_.nodes().size());
  builder.graph_.output("result", result);
  return {.graph = std::move(builder.graph_),
          .dims = op_case.dims,
          .arrays = std::move(builder.arrays_),
          .result = result};
}

std::vector<TensorType> BuiltCase::input_types() const {
  std::vector<TensorType> types;
  for (Value input : graph.node(result).inputs) types.push_back(graph.type(input));
  return types;
}

std::vector<Tensor> BuiltCase::inputs() const {
  std::vector<Tensor> tensors;
  for (Value input : graph.node(result).inputs) {
    const Array& array = arrays[static_cast<size_t>(input.id)];
    tensors.push_back(
        {.data = const_cast<std::byte*>(array.raw()), .dtype = array.dtype(), .shape = array.shape()});
  }
  return tensors;
}

Tensor BuiltCase::output() const {
  const TensorType& type = graph.type(result);
  return {.data = nullptr, .dtype = type.dtype, .shape = type.bind(dims)};
}

std::vector<Tensor> BuiltCase::results() const {
  std::vector<Tensor> results;
  for (size_t i = static_cast<size_t>(result.id) + 1; i < graph.nodes().size(); ++i) {
    const TensorType& type = graph.nodes()[i].type;
    results.push_back({.data = nullptr, .dtype = type.dtype, .shape = type.bind(dims)});
  }
  return results;
}

std::vector<OpCase> cases_of(std::string_view op) {
  for (const OpCases& row : table()) {
    if (row.op == op) return row.cases();
  }
  return {};
}

std::vector<OpCase> all_cases() {
  std::vector<OpCase> all;
  for (const OpCases& row : table()) {
    for (OpCase& op_case : row.cases()) all.push_back(std::move(op_case));
  }
  return all;
}

}  // namespace ingot::opcases
