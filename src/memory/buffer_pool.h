// Memory kept for reuse: one pool per device.
//
// Requests are rounded up to a size class; returned blocks wait in the bucket of their class. When the
// waiting bytes exceed their cap, the block that has waited longest, of any bucket, is given back to the
// device.
//
// Ownership: a PooledBuffer returns its block when it is dropped, and may outlive the pool object.
// Thread safety: every method of BufferPool, and dropping handles, from any thread. The device's functions
// are called outside the pool's lock, possibly from several threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace ingot {

/// How a device provides memory.
struct DeviceMemory {
  /// At least `bytes` bytes aligned to at least 64, or null where there are none left.
  std::function<void*(size_t bytes)> allocate;
  /// Gives back what allocate(bytes) returned. Must not throw.
  std::function<void(void* data, size_t bytes)> release;
};

/// The host's memory.
DeviceMemory host_memory();

struct BufferPoolLimits {
  size_t cached_bytes = size_t{256} << 20;  // most bytes that wait for reuse
  std::optional<size_t> total_bytes =
      {};  // most bytes in use and cached together; none: until the device refuses
};

struct BufferPoolStatistics {
  size_t in_use_bytes = 0;  // in size classes, as the device sees it
  size_t cached_bytes = 0;
  size_t peak_bytes = 0;   // most bytes ever in use at once
  uint64_t hits = 0;       // requests served by a waiting block
  uint64_t misses = 0;     // requests that went to the device
  uint64_t evictions = 0;  // blocks given back to the device to stay within a limit
};

/// The bytes a request of `bytes` really takes: a multiple of 64 and, from 512 on, less than 12.5 % more
/// (eight classes between two powers of two). Errors: out_of_memory for sizes no memory has.
size_t size_class_bytes(size_t bytes);

class PooledBuffer;

class BufferPool {
 public:
  explicit BufferPool(BufferPoolLimits limits = {}, DeviceMemory memory = host_memory());
  /// Gives back the waiting blocks; blocks in use go back when their handles are dropped.
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// Uninitialised bytes. Waiting blocks are given back first where a limit or the device stands in the way.
  /// Errors: out_of_memory, naming the request, the bytes in use and the limit.
  PooledBuffer acquire(size_t bytes);

  /// Gives waiting blocks back, longest wait first, until at most `keep_bytes` wait. Not counted as
  /// evictions.
  void trim(size_t keep_bytes = 0);

  BufferPoolStatistics statistics() const;

 private:
  friend class PooledBuffer;
  struct State;
  std::shared_ptr<State> state_;
};

/// A block on loan from a pool; move only.
class PooledBuffer {
 public:
  /// No bytes.
  PooledBuffer() = default;
  ~PooledBuffer();
  PooledBuffer(PooledBuffer&& other) noexcept;
  PooledBuffer& operator=(PooledBuffer&& other) noexcept;
  PooledBuffer(const PooledBuffer&) = delete;
  PooledBuffer& operator=(const PooledBuffer&) = delete;

  void* data() const { return data_; }
  /// As requested; the block may be larger.
  size_t bytes() const { return bytes_; }

 private:
  friend class BufferPool;
  struct Block;
  PooledBuffer(std::shared_ptr<BufferPool::State> state, Block* block, size_t bytes);

  std::shared_ptr<BufferPool::State> state_;
  Block* block_ = nullptr;  // owned by state_
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace ingot
