// Symbolic dimensions. A model is one graph over the extents of a step: compile() binds their maxima, run()
// their values.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "ingot/array.h"
#include "ingot/dtype.h"

namespace ingot::graph {

enum class Symbol : uint8_t {
  none,
  tokens,       // T: token rows of this step, all sequences together
  sequences,    // S: sequences of this step
  pages,        // P: KV cache pages of the longest sequence
  logit_rows,   // R: rows that the output head runs on
  cache_pages,  // C: pages in the KV cache's pool; fixed when the cache is made
  slots,        // N: sequences that a runner can hold; fixed like the cache
};
inline constexpr int kSymbols = 7;

/// The letter printed for a symbol: T, S, P, R, C, N.
char symbol_letter(Symbol symbol);

/// Values of the symbols, by Symbol.
struct DimValues {
  std::array<int64_t, kSymbols> values{};
  int64_t& operator[](Symbol symbol) { return values[static_cast<size_t>(symbol)]; }
  int64_t operator[](Symbol symbol) const { return values[static_cast<size_t>(symbol)]; }
};

/// An extent: coefficient x symbol + offset. Static extents have coefficient 0.
class Dim {
 public:
  Dim() = default;
  Dim(int64_t extent) : offset_(extent) {}                  // NOLINT(google-explicit-constructor)
  Dim(Symbol symbol) : coefficient_(1), symbol_(symbol) {}  // NOLINT(google-explicit-constructor)

  bool is_static() const { return coefficient_ == 0; }
  int64_t bind(const DimValues& values) const { return coefficient_ * values[symbol_] + offset_; }
  /// The extent of a static dimension. Errors: invalid_argument for a symbolic one.
  int64_t extent() const;

  friend bool operator==(const Dim&, const Dim&) = default;
  /// Errors: invalid_argument where the result is not of the form above.
  friend Dim operator+(Dim a, Dim b);
  friend Dim operator*(Dim a, Dim b);
  friend std::string to_string(Dim dim);

 private:
  int64_t coefficient_ = 0;
  int64_t offset_ = 0;
  Symbol symbol_ = Symbol::none;
};

/// Shape over symbolic dimensions and element type of a value.
struct TensorType {
  DType dtype = DType::f32;
  std::vector<Dim> dims;

  int rank() const { return static_cast<int>(dims.size()); }
  /// Dimension `axis`; negative counts from the last.
  const Dim& dim(int axis) const { return dims[static_cast<size_t>(axis < 0 ? axis + rank() : axis)]; }
  Dim elements() const;
  Shape bind(const DimValues& values) const;
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

/// "f32[T, 384]"
std::string to_string(const TensorType& type);

}  // namespace ingot::graph
