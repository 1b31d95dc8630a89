#include "graph/dim.h"

#include <fmt/ranges.h>

#include "base/check.h"

namespace ingot::graph {

char symbol_letter(Symbol symbol) {
  return "1TSPRCN"[static_cast<size_t>(symbol)];
}

int64_t Dim::extent() const {
  if (!is_static())
    fail(ErrorCode::invalid_argument, "expected a static dimension, found {}", to_string(*this));
  return offset_;
}

Dim operator+(Dim a, Dim b) {
  if (!a.is_static() && !b.is_static() && a.symbol_ != b.symbol_) {
    fail(ErrorCode::invalid_argument, "dimensions {} and {} cannot be added", to_string(a), to_string(b));
  }
  Dim sum;
  sum.coefficient_ = a.coefficient_ + b.coefficient_;
  sum.offset_ = a.offset_ + b.offset_;
  if (sum.coefficient_ != 0) sum.symbol_ = a.is_static() ? b.symbol_ : a.symbol_;
  return sum;
}

Dim operator*(Dim a, Dim b) {
  if (!a.is_static() && !b.is_static()) {
    fail(ErrorCode::invalid_argument, "dimensions {} and {} cannot be multiplied", to_string(a),
         to_string(b));
  }
  if (!a.is_static()) std::swap(a, b);
  Dim product;
  product.coefficient_ = a.offset_ * b.coefficient_;
  product.offset_ = a.offset_ * b.offset_;
  product.symbol_ = product.coefficient_ == 0 ? Symbol::none : b.symbol_;
  return product;
}

std::string to_string(Dim dim) {
  if (dim.is_static()) return fmt::format("{}", dim.offset_);
  std::string text;
  if (dim.coefficient_ != 1) text += fmt::format("{}", dim.coefficient_);
  text += symbol_letter(dim.symbol_);
  if (dim.offset_ != 0) text += fmt::format("{:+}", dim.offset_);
  return text;
}

Dim TensorType::elements() const {
  Dim product = 1;
  for (const Dim& dim : dims) product = product * dim;
  return product;
}

Shape TensorType::bind(const DimValues& values) const {
  if (rank() > Shape::kMaxRank) {
    fail(ErrorCode::invalid_argument, "expected at most {} dimensions, found {}", Shape::kMaxRank,
         to_string(*this));
  }
  std::array<int64_t, Shape::kMaxRank> extents{};
  for (size_t i = 0; i < dims.size(); ++i) extents[i] = dims[i].bind(values);
  return Shape(std::span<const int64_t>(extents.data(), dims.size()));
}

std::string to_string(const TensorType& type) {
  std::string text = fmt::format("{}[", to_string(type.dtype));
  for (size_t i = 0; i < type.dims.size(); ++i) text += (i == 0 ? "" : ", ") + to_string(type.dims[i]);
  return text + "]";
}

}  // namespace ingot::graph
