#include "memory/buffer.h"

#include <bit>
#include <new>
#include <utility>

#include "base/check.h"

namespace ingot {

Buffer::Buffer(std::byte* data, size_t bytes, Deleter deleter)
    : data_(data), bytes_(bytes), deleter_(std::move(deleter)) {}

Buffer::~Buffer() {
  reset();
}

Buffer::Buffer(Buffer&& other) noexcept {
  *this = std::move(other);
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  reset();
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  writable_ = std::exchange(other.writable_, true);
  deleter_ = std::exchange(other.deleter_, nullptr);
  keep_alive_ = std::exchange(other.keep_alive_, nullptr);
  return *this;
}

void Buffer::reset() noexcept {
  if (deleter_) deleter_(data_, bytes_);
  deleter_ = nullptr;
  keep_alive_ = nullptr;
}

Buffer Buffer::allocate(size_t bytes, size_t alignment) {
  INGOT_CHECK(std::has_single_bit(alignment), "an alignment is a power of two, found {}", alignment);
  if (bytes == 0) return {};
  void* data = ::operator new(bytes, std::align_val_t{alignment}, std::nothrow);
  if (data == nullptr) fail(ErrorCode::out_of_memory, "buffer: the system refused {} bytes of memory", bytes);
  return Buffer(static_cast<std::byte*>(data), bytes, [alignment](std::byte* owned, size_t) {
    ::operator delete(owned, std::align_val_t{alignment});
  });
}

Buffer Buffer::borrow(const void* data, size_t bytes, std::shared_ptr<const void> keep_alive) {
  Buffer buffer;
  // Never written through: mutable_data() refuses.
  buffer.data_ = const_cast<std::byte*>(static_cast<const std::byte*>(data));
  buffer.bytes_ = bytes;
  buffer.writable_ = false;
  buffer.keep_alive_ = std::move(keep_alive);
  return buffer;
}

std::byte* Buffer::mutable_data() {
  INGOT_CHECK(writable_, "borrowed bytes may not be written");
  return data_;
}

}  // namespace ingot
