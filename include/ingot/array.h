// Shape and Array: a shaped, typed, contiguous view on bytes that it shares.
//
// Ownership: an Array shares its bytes with its copies, views and nobody else; copying an Array copies no
// bytes. Thread safety: as for a value; concurrent reads of one Array, or of several on the same bytes, are
// fine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>

#include "ingot/dtype.h"

namespace ingot {

class Buffer;

/// The lengths of up to kMaxRank dimensions, outermost first. Rank 0 is one element.
class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  /// Errors: invalid_argument for more than kMaxRank dimensions, a negative length, or more elements than an
  /// int64_t counts.
  Shape(std::initializer_list<int64_t> lengths);
  explicit Shape(std::span<const int64_t> lengths);

  int rank() const { return rank_; }
  /// The length of dimension `axis`; a negative one counts from the end. Errors: invalid_argument outside the
  /// rank.
  int64_t operator[](int axis) const;
  int64_t elements() const { return elements_; }
  std::span<const int64_t> lengths() const { return {lengths_.data(), static_cast<size_t>(rank_)}; }

  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, kMaxRank> lengths_{};  // zero beyond the rank
  int rank_ = 0;
  int64_t elements_ = 1;
};

/// "[2, 3]".
std::string to_string(const Shape& shape);

/// True if elements of `dtype` may be read as T. The 16-bit floats are read as their bits, uint16_t.
template <typename T>
constexpr bool holds(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return std::is_same_v<T, double>;
    case DType::f32:
      return std::is_same_v<T, float>;
    case DType::f16:
    case DType::bf16:
      return std::is_same_v<T, uint16_t>;
    case DType::i64:
      return std::is_same_v<T, int64_t>;
    case DType::i32:
      return std::is_same_v<T, int32_t>;
    case DType::i16:
      return std::is_same_v<T, int16_t>;
    case DType::i8:
      return std::is_same_v<T, int8_t>;
    case DType::u8:
      return std::is_same_v<T, uint8_t>;
    case DType::boolean:
      return std::is_same_v<T, bool>;
    default:  // 8-bit floats and blocks: raw() has their bytes
      return false;
  }
}

class Array {
 public:
  /// No elements: f32, shape [0].
  Array();

  /// Uninitialised elements. Errors: out_of_memory, invalid_argument where the bytes overflow.
  static Array empty(DType dtype, const Shape& shape);
  /// Elements of all-zero bits.
  static Array zeros(DType dtype, const Shape& shape);
  /// A copy of `values`, which `dtype` must hold. Errors: invalid_argument unless `shape` has as many
  /// elements.
  template <typename T>
  static Array from(std::span<const T> values, DType dtype, const Shape& shape) {
    require_type(holds<T>(dtype), dtype, sizeof(T));
    return copy(values.data(), values.size_bytes(), dtype, shape);
  }
  static Array from(std::span<const float> values, const Shape& shape) {
    return from(values, DType::f32, shape);
  }
  static Array from(std::span<const int32_t> values, const Shape& shape) {
    return from(values, DType::i32, shape);
  }
  static Array from(std::span<const int64_t> values, const Shape& shape) {
    return from(values, DType::i64, shape);
  }

  /// A copy of bytes of any alignment. Errors: invalid_argument unless they are exactly the shape's.
  static Array copy(const void* data, size_t bytes, DType dtype, const Shape& shape);
  /// Read-only elements in place, for example a tensor of a mapped file; `keep_alive` owns them. Errors:
  /// invalid_argument unless the bytes are exactly the shape's and `data` is aligned to the element.
  static Array over(const void* data, size_t bytes, DType dtype, const Shape& shape,
                    std::shared_ptr<const void> keep_alive);

  /// Elements in a buffer that the array takes over. Errors: invalid_argument as for over().
  static Array owning(Buffer buffer, DType dtype, const Shape& shape);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return static_cast<size_t>(dtype_bytes(dtype_, elements())); }
  /// False for elements in place of a file.
  bool writable() const;

  const std::byte* raw() const;
  /// Errors: invalid_argument if the array is read-only. Views and copies of the array see what is written.
  std::byte* mutable_raw();

  /// The elements, row-major. Errors: invalid_argument unless the dtype holds T.
  template <typename T>
  const T* data() const {
    require_type(holds<T>(dtype_), dtype_, sizeof(T));
    return reinterpret_cast<const T*>(raw());
  }
  template <typename T>
  T* mutable_data() {
    require_type(holds<T>(dtype_), dtype_, sizeof(T));
    return reinterpret_cast<T*>(mutable_raw());
  }
  template <typename T>
  std::span<const T> span() const {
    return {data<T>(), static_cast<size_t>(elements())};
  }

  /// The same bytes in another shape. Errors: invalid_argument unless it has as many elements.
  Array reshape(const Shape& shape) const;
  /// Rows [begin, end) of the first dimension, the same bytes. Errors: invalid_argument outside the shape.
  Array rows(int64_t begin, int64_t end) const;

 private:
  Array(std::shared_ptr<Buffer> buffer, size_t offset, DType dtype, const Shape& shape);
  static void require_type(bool fits, DType dtype, size_t type_bytes);

  std::shared_ptr<Buffer> buffer_;  // null only where there are no bytes
  size_t offset_ = 0;               // bytes
  DType dtype_ = DType::f32;
  Shape shape_;
};

}  // namespace ingot
