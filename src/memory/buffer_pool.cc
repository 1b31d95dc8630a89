#include "memory/buffer_pool.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <list>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "base/check.h"

namespace ingot {
namespace {

constexpr size_t kGranule = 64;            // the alignment of every block
constexpr size_t kClassesPerDoubling = 8;  // hence at most 1/8 of waste
constexpr int kClassBits = 3;
// Below kLinear bytes classes are one granule apart, which is finer than an eighth.
constexpr size_t kLinear = kGranule * kClassesPerDoubling;
constexpr size_t kLargest = std::numeric_limits<size_t>::max() / 4;
constexpr size_t kBuckets = 64 * kClassesPerDoubling;

// The distance of the size classes around `bytes`.
size_t class_step(size_t bytes) {
  return bytes <= kLinear ? kGranule : std::bit_floor(bytes - 1) / kClassesPerDoubling;
}

// A number of its own for every size class `bytes`.
size_t bucket_of(size_t bytes) {
  if (bytes <= kLinear) return bytes / kGranule;
  const auto doublings = static_cast<size_t>(std::bit_width(bytes) - std::bit_width(kLinear));
  const size_t eighth = (bytes >> (std::bit_width(bytes) - 1 - kClassBits)) - kClassesPerDoubling;
  return kClassesPerDoubling + doublings * kClassesPerDoubling + eighth;
}

}  // namespace

size_t size_class_bytes(size_t bytes) {
  if (bytes > kLargest)
    fail(ErrorCode::out_of_memory, "buffer pool: {} bytes requested, no memory is that large", bytes);
  const size_t step = class_step(std::max<size_t>(bytes, 1));
  return (std::max<size_t>(bytes, 1) + step - 1) / step * step;
}

DeviceMemory host_memory() {
  return {.allocate =
              [](size_t bytes) { return ::operator new(bytes, std::align_val_t{kGranule}, std::nothrow); },
          .release = [](void* data, size_t) { ::operator delete(data, std::align_val_t{kGranule}); }};
}

struct PooledBuffer::Block {
  void* data = nullptr;
  size_t bytes = 0;          // of its size class
  uint64_t returned_at = 0;  // the pool's clock when it began to wait
  std::list<Block>::iterator self;
};

// Blocks live in list nodes that move between the lists without being copied or allocated again: returning a
// block, which a destructor does, cannot fail.
struct BufferPool::State {
  using Block = PooledBuffer::Block;
  using Blocks = std::list<Block>;

  State(BufferPoolLimits pool_limits, DeviceMemory device) : limits(pool_limits), memory(std::move(device)) {}
  ~State() {
    for (Blocks& bucket : buckets) give_back(bucket);
  }

  // Returns the blocks' memory to the device. Called without the lock: a device may wait for its queue here.
  void give_back(Blocks& blocks) noexcept {
    for (const Block& block : blocks) memory.release(block.data, block.bytes);
    blocks.clear();
  }

  // Moves the block that has waited longest to `out`. Within a bucket the front has waited longest, so one
  // look at each bucket finds it; the release that follows costs far more. Needs the lock and a waiting
  // block.
  void take_oldest(Blocks& out) noexcept {
    Blocks* oldest = nullptr;
    for (Blocks& bucket : buckets) {
      if (bucket.empty()) continue;
      if (oldest == nullptr || bucket.front().returned_at < oldest->front().returned_at) oldest = &bucket;
    }
    if (oldest == nullptr) return;
    statistics.cached_bytes -= oldest->front().bytes;
    out.splice(out.end(), *oldest, oldest->begin());
  }

  void evict_to(size_t cached_bytes, Blocks& out) noexcept {
    while (statistics.cached_bytes > cached_bytes) {
      take_oldest(out);
      ++statistics.evictions;
    }
  }

  void note_peak() noexcept {
    statistics.peak_bytes = std::max(statistics.peak_bytes, statistics.in_use_bytes);
  }

  void unreserve(size_t bytes) noexcept {
    const std::lock_guard lock(mutex);
    statistics.in_use_bytes -= bytes;
  }

  void take_back(Block* block) noexcept;

  BufferPoolLimits limits;
  const DeviceMemory memory;

  mutable std::mutex mutex;
  std::array<Blocks, kBuckets> buckets;
  Blocks in_use;
  BufferPoolStatistics statistics;
  uint64_t clock = 0;
};

void BufferPool::State::take_back(Block* block) noexcept {
  Blocks evicted;
  {
    const std::lock_guard lock(mutex);
    statistics.in_use_bytes -= block->bytes;
    if (block->bytes > limits.cached_bytes) {
      // It could not stay even alone: the others need not make room for it.
      evicted.splice(evicted.end(), in_use, block->self);
      ++statistics.evictions;
    } else {
      block->returned_at = ++clock;
      Blocks& bucket = buckets[bucket_of(block->bytes)];
      bucket.splice(bucket.end(), in_use, block->self);
      statistics.cached_bytes += block->bytes;
      evict_to(limits.cached_bytes, evicted);
    }
  }
  give_back(evicted);
}

BufferPool::BufferPool(BufferPoolLimits limits, DeviceMemory memory)
    : state_(std::make_shared<State>(limits, std::move(memory))) {}

BufferPool::~BufferPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->limits.cached_bytes = 0;  // nothing will be acquired any more
  }
  trim();
}

PooledBuffer BufferPool::acquire(size_t bytes) {
  if (bytes == 0) return {};
  const size_t needed = size_class_bytes(bytes);
  State::Blocks evicted;
  {
    const std::lock_guard lock(state_->mutex);
    BufferPoolStatistics& statistics = state_->statistics;
    State::Blocks& bucket = state_->buckets[bucket_of(needed)];
    const size_t limit = state_->limits.total_bytes.value_or(std::numeric_limits<size_t>::max());
    if (needed > limit || statistics.in_use_bytes > limit - needed) {
      fail(ErrorCode::out_of_memory, "buffer pool: {} bytes requested, {} of {} in use", needed,
           statistics.in_use_bytes, limit);
    }
    statistics.in_use_bytes += needed;  // reserved, so that requests together stay within the limit
    if (!bucket.empty()) {
      // The latest to return: its bytes are the likeliest to be in a cache.
      ++statistics.hits;
      statistics.cached_bytes -= needed;
      state_->note_peak();
      const auto block = std::prev(bucket.end());
      state_->in_use.splice(state_->in_use.end(), bucket, block);
      return PooledBuffer(state_, &*block, bytes);
    }
    ++statistics.misses;
    state_->evict_to(limit - statistics.in_use_bytes, evicted);
  }
  state_->give_back(evicted);

  State::Blocks node;
  try {
    node.emplace_back();
    void* data = state_->memory.allocate(needed);
    if (data == nullptr) {
      {
        const std::lock_guard lock(state_->mutex);
        state_->evict_to(0, evicted);
      }
      state_->give_back(evicted);
      data = state_->memory.allocate(needed);
    }
    if (data == nullptr) {
      const size_t others = statistics().in_use_bytes - needed;
      fail(ErrorCode::out_of_memory, "buffer pool: {} bytes requested, {} in use, the device refused", needed,
           others);
    }
    node.front().data = data;
  } catch (...) {
    state_->unreserve(needed);
    throw;
  }
  const auto block = node.begin();
  block->bytes = needed;
  block->self = block;
  const std::lock_guard lock(state_->mutex);
  state_->note_peak();
  state_->in_use.splice(state_->in_use.end(), node);
  return PooledBuffer(state_, &*block, bytes);
}

void BufferPool::trim(size_t keep_bytes) {
  State::Blocks released;
  {
    const std::lock_guard lock(state_->mutex);
    while (state_->statistics.cached_bytes > keep_bytes) state_->take_oldest(released);
  }
  state_->give_back(released);
}

BufferPoolStatistics BufferPool::statistics() const {
  const std::lock_guard lock(state_->mutex);
  return state_->statistics;
}

PooledBuffer::PooledBuffer(std::shared_ptr<BufferPool::State> state, Block* block, size_t bytes)
    : state_(std::move(state)), block_(block), data_(block->data), bytes_(bytes) {}

PooledBuffer::~PooledBuffer() {
  if (block_ != nullptr) state_->take_back(block_);
}

PooledBuffer::PooledBuffer(PooledBuffer&& other) noexcept
    : state_(std::move(other.state_)),
      block_(std::exchange(other.block_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

PooledBuffer& PooledBuffer::operator=(PooledBuffer&& other) noexcept {
  PooledBuffer taken(std::move(other));
  std::swap(state_, taken.state_);
  std::swap(block_, taken.block_);
  std::swap(data_, taken.data_);
  std::swap(bytes_, taken.bytes_);
  return *this;
}

}  // namespace ingot
