// Bytes with an owner: memory of its own, or borrowed memory that something else keeps alive.
//
// Ownership: by value and by a deleter, move only; share one through shared_ptr. Borrowed bytes are
// read-only. Thread safety: none of its own; concurrent reads are fine.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace ingot {

class Buffer {
 public:
  /// Gives the bytes back. Called once, from whichever thread drops the buffer; must not throw.
  using Deleter = std::function<void(std::byte* data, size_t bytes)>;

  /// A cache line, and the widest vector register.
  static constexpr size_t kAlignment = 64;

  /// No bytes.
  Buffer() = default;
  /// Writable bytes that `deleter` gives back. `deleter` may be empty.
  Buffer(std::byte* data, size_t bytes, Deleter deleter);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  /// Uninitialised host memory; `alignment` is a power of two. Errors: out_of_memory, naming the size.
  static Buffer allocate(size_t bytes, size_t alignment = kAlignment);

  /// Bytes of somebody else, for example of a mapped file, without a copy. They must live at least as long as
  /// `keep_alive` does; without one, as long as the buffer.
  static Buffer borrow(const void* data, size_t bytes, std::shared_ptr<const void> keep_alive);

  const std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool writable() const { return writable_; }

  /// The bytes for writing. Broken invariant: the buffer is borrowed.
  std::byte* mutable_data();

 private:
  void reset() noexcept;

  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  bool writable_ = true;
  Deleter deleter_;
  std::shared_ptr<const void> keep_alive_;
};

}  // namespace ingot
