#include "ingot/array.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "memory/buffer.h"

namespace ingot {
namespace {

// Rows are made of whole blocks.
void require_whole_blocks(DType dtype, const Shape& shape) {
  const int64_t block = block_of(dtype).elements;
  const int64_t width = shape.rank() == 0 ? 1 : shape[-1];
  if (width % block == 0) return;
  fail(ErrorCode::invalid_argument, "array: expected a last dimension in blocks of {} for {}, found {}",
       block, to_string(dtype), to_string(shape));
}

// Bytes of an array that is to be made; a shape's element count fits an int64_t, its bytes may not.
size_t byte_count(DType dtype, const Shape& shape) {
  require_whole_blocks(dtype, shape);
  const DTypeBlock block = block_of(dtype);
  const int64_t blocks = shape.elements() / block.elements;
  if (blocks > std::numeric_limits<ptrdiff_t>::max() / block.bytes) {
    fail(ErrorCode::invalid_argument, "array: {} {} has more bytes than memory can address", to_string(dtype),
         to_string(shape));
  }
  return static_cast<size_t>(blocks * block.bytes);
}

void require_bytes(size_t bytes, DType dtype, const Shape& shape) {
  const size_t expected = byte_count(dtype, shape);
  if (bytes != expected) {
    fail(ErrorCode::invalid_argument, "array: expected {} bytes for {} {}, found {}", expected,
         to_string(dtype), to_string(shape), bytes);
  }
}

}  // namespace

Shape::Shape(std::initializer_list<int64_t> lengths) : Shape(std::span(lengths.begin(), lengths.size())) {}

Shape::Shape(std::span<const int64_t> lengths) {
  if (lengths.size() > kMaxRank) {
    fail(ErrorCode::invalid_argument, "shape: expected at most {} dimensions, found {}", kMaxRank,
         lengths.size());
  }
  bool empty = false;
  for (const int64_t length : lengths) {
    if (length < 0)
      fail(ErrorCode::invalid_argument, "shape: expected lengths of at least 0, found {}", length);
    empty = empty || length == 0;
    lengths_[static_cast<size_t>(rank_++)] = length;
  }
  if (empty) {
    elements_ = 0;
    return;
  }
  for (const int64_t length : lengths) {
    if (elements_ > std::numeric_limits<int64_t>::max() / length) {
      fail(ErrorCode::invalid_argument, "shape: {} has more elements than 64 bits count", to_string(*this));
    }
    elements_ *= length;
  }
}

int64_t Shape::operator[](int axis) const {
  const int index = axis < 0 ? axis + rank_ : axis;
  if (index < 0 || index >= rank_) {
    fail(ErrorCode::invalid_argument, "shape: {} has no dimension {}", to_string(*this), axis);
  }
  return lengths_[static_cast<size_t>(index)];
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const int64_t length : shape.lengths()) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(length);
  }
  return text + "]";
}

Array::Array() : shape_({0}) {}

Array::Array(std::shared_ptr<Buffer> buffer, size_t offset, DType dtype, const Shape& shape)
    : buffer_(std::move(buffer)), offset_(offset), dtype_(dtype), shape_(shape) {}

Array Array::empty(DType dtype, const Shape& shape) {
  return {std::make_shared<Buffer>(Buffer::allocate(byte_count(dtype, shape))), 0, dtype, shape};
}

Array Array::zeros(DType dtype, const Shape& shape) {
  Array array = empty(dtype, shape);
  if (array.bytes() != 0) std::memset(array.mutable_raw(), 0, array.bytes());
  return array;
}

Array Array::copy(const void* data, size_t bytes, DType dtype, const Shape& shape) {
  require_bytes(bytes, dtype, shape);
  Array array = empty(dtype, shape);
  if (bytes != 0) std::memcpy(array.mutable_raw(), data, bytes);
  return array;
}

Array Array::over(const void* data, size_t bytes, DType dtype, const Shape& shape,
                  std::shared_ptr<const void> keep_alive) {
  require_bytes(bytes, dtype, shape);
  const uintptr_t beyond = reinterpret_cast<uintptr_t>(data) % dtype_alignment(dtype);
  if (beyond != 0) {
    fail(ErrorCode::invalid_argument,
         "array: expected data aligned to the {} bytes of {}, found an address {} beyond",
         dtype_alignment(dtype), to_string(dtype), beyond);
  }
  return {std::make_shared<Buffer>(Buffer::borrow(data, bytes, std::move(keep_alive))), 0, dtype, shape};
}

Array Array::owning(Buffer buffer, DType dtype, const Shape& shape) {
  require_bytes(buffer.bytes(), dtype, shape);
  return {std::make_shared<Buffer>(std::move(buffer)), 0, dtype, shape};
}

bool Array::writable() const {
  return buffer_ == nullptr || buffer_->writable();
}

const std::byte* Array::raw() const {
  return buffer_ == nullptr ? nullptr : buffer_->data() + offset_;
}

std::byte* Array::mutable_raw() {
  if (buffer_ == nullptr) return nullptr;
  if (!buffer_->writable())
    fail(ErrorCode::invalid_argument, "array: expected a writable array, found a read-only one");
  return buffer_->mutable_data() + offset_;
}

Array Array::reshape(const Shape& shape) const {
  if (shape.elements() != elements()) {
    fail(ErrorCode::invalid_argument, "array: cannot reshape {} to {}: {} elements against {}",
         to_string(shape_), to_string(shape), elements(), shape.elements());
  }
  require_whole_blocks(dtype_, shape);
  return {buffer_, offset_, dtype_, shape};
}

Array Array::rows(int64_t begin, int64_t end) const {
  if (shape_.rank() == 0 || begin < 0 || end < begin || end > shape_[0]) {
    fail(ErrorCode::invalid_argument, "array: expected rows within {}, found [{}, {})", to_string(shape_),
         begin, end);
  }
  std::array<int64_t, Shape::kMaxRank> lengths{};
  int64_t row = 1;  // elements
  for (int axis = 0; axis < shape_.rank(); ++axis) {
    lengths[static_cast<size_t>(axis)] = axis == 0 ? end - begin : shape_[axis];
    if (axis > 0) row *= shape_[axis];
  }
  const Shape shape(std::span<const int64_t>(lengths.data(), static_cast<size_t>(shape_.rank())));
  require_whole_blocks(dtype_, shape);
  return {buffer_, offset_ + static_cast<size_t>(dtype_bytes(dtype_, begin * row)), dtype_, shape};
}

void Array::require_type(bool fits, DType dtype, size_t type_bytes) {
  if (fits) return;
  fail(ErrorCode::invalid_argument, "array: elements are {}, asked for as another type of {} bytes",
       to_string(dtype), type_bytes);
}

}  // namespace ingot
