#include "memory/buffer_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "ingot/error.h"

namespace ingot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Host memory that counts, and that may be made to run out.
class CountedMemory {
 public:
  DeviceMemory functions() {
    return {.allocate = [this](size_t bytes) -> void* {
              const std::lock_guard lock(mutex_);
              if (held_ + bytes > capacity) return nullptr;
              void* data = host_.allocate(bytes);
              blocks_[data] = bytes;
              held_ += bytes;
              return data;
            },
            .release =
                [this](void* data, size_t bytes) {
                  const std::lock_guard lock(mutex_);
                  EXPECT_EQ(blocks_.at(data), bytes);
                  blocks_.erase(data);
                  held_ -= bytes;
                  released.push_back(bytes);
                  host_.release(data, bytes);
                }};
  }
  size_t held() const {
    const std::lock_guard lock(mutex_);
    return held_;
  }

  size_t capacity = size_t{1} << 40;
  std::vector<size_t> released;  // bytes of each block, in order

 private:
  DeviceMemory host_ = host_memory();
  mutable std::mutex mutex_;
  std::map<void*, size_t> blocks_;
  size_t held_ = 0;
};

TEST(SizeClass, WastesLessThanAnEighthFrom512BytesOnAndAGranuleBelow) {
  for (size_t bytes = 1; bytes < 100'000; ++bytes) {
    const size_t taken = size_class_bytes(bytes);
    ASSERT_GE(taken, bytes);
    ASSERT_EQ(taken % 64, 0U);
    ASSERT_EQ(size_class_bytes(taken), taken) << "a class holds itself";
    if (bytes < 512) {
      ASSERT_LT(taken - bytes, 64U) << bytes;
    } else {
      ASSERT_LT(static_cast<double>(taken - bytes), 0.125 * static_cast<double>(bytes)) << bytes;
    }
  }
  for (int power = 10; power < 60; ++power) {
    const size_t bytes = (size_t{1} << power) + 1;
    EXPECT_EQ(size_class_bytes(bytes), (size_t{1} << power) / 8 * 9) << bytes;
    EXPECT_EQ(size_class_bytes(bytes - 1), bytes - 1);
  }
}

TEST(SizeClass, SizesNoMemoryHasAreOutOfMemory) {
  try {
    size_class_bytes(~size_t{0} - 5);
    FAIL() << "no throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  }
}

TEST(BufferPool, BytesAreAlignedAndWritable) {
  BufferPool pool;
  const PooledBuffer buffer = pool.acquire(1000);
  EXPECT_EQ(buffer.bytes(), 1000U);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0U);
  std::memset(buffer.data(), 1, 1000);
}

TEST(BufferPool, NoBytesTakeNoBlock) {
  BufferPool pool;
  EXPECT_EQ(pool.acquire(0).data(), nullptr);
  EXPECT_EQ(pool.statistics().misses, 0U);
}

TEST(BufferPool, ReturnedBlockServesTheNextRequestOfItsClass) {
  BufferPool pool;
  void* first = nullptr;
  {
    const PooledBuffer buffer = pool.acquire(1000);
    first = buffer.data();
    EXPECT_EQ(pool.statistics().in_use_bytes, 1024U);
  }
  EXPECT_EQ(pool.statistics().in_use_bytes, 0U);
  EXPECT_EQ(pool.statistics().cached_bytes, 1024U);
  const PooledBuffer same_class = pool.acquire(961);
  EXPECT_EQ(same_class.data(), first);
  const PooledBuffer other_class = pool.acquire(960);
  EXPECT_NE(other_class.data(), first);
  const BufferPoolStatistics statistics = pool.statistics();
  EXPECT_EQ(statistics.hits, 1U);
  EXPECT_EQ(statistics.misses, 2U);
  EXPECT_EQ(statistics.cached_bytes, 0U);
  EXPECT_EQ(statistics.in_use_bytes, 1024U + 960U);
  EXPECT_EQ(statistics.peak_bytes, 1024U + 960U);
}

TEST(BufferPool, EveryClassHasABucketOfItsOwn) {
  CountedMemory memory;
  BufferPool pool({.cached_bytes = size_t{1} << 40}, memory.functions());
  size_t classes = 0;
  for (size_t bytes = 64; bytes <= 1 << 20; bytes = size_class_bytes(bytes + 1)) {
    const PooledBuffer buffer = pool.acquire(bytes);
    ++classes;
  }
  EXPECT_EQ(pool.statistics().misses, classes);  // one more or less would mean a shared bucket
  for (size_t bytes = 64; bytes <= 1 << 20; bytes = size_class_bytes(bytes + 1)) pool.acquire(bytes);
  EXPECT_EQ(pool.statistics().hits, classes);
}

TEST(BufferPool, EvictsTheLongestWaitAcrossBucketsWhenTheCapIsExceeded) {
  CountedMemory memory;
  BufferPool pool({.cached_bytes = 1024}, memory.functions());
  PooledBuffer a = pool.acquire(448);
  PooledBuffer b = pool.acquire(64);
  PooledBuffer c = pool.acquire(512);
  PooledBuffer d = pool.acquire(128);
  b = PooledBuffer();
  a = PooledBuffer();
  c = PooledBuffer();
  EXPECT_EQ(pool.statistics().cached_bytes, 1024U);
  EXPECT_EQ(pool.statistics().evictions, 0U);
  d = PooledBuffer();
  EXPECT_THAT(memory.released, ElementsAre(64, 448));
  EXPECT_EQ(pool.statistics().evictions, 2U);
  EXPECT_EQ(pool.statistics().cached_bytes, 640U);
  EXPECT_EQ(memory.held(), 640U);
}

TEST(BufferPool, ReuseCountsAsUseForEviction) {
  CountedMemory memory;
  BufferPool pool({.cached_bytes = 1024}, memory.functions());
  PooledBuffer a = pool.acquire(448);
  PooledBuffer b = pool.acquire(512);
  a = PooledBuffer();
  b = PooledBuffer();
  a = pool.acquire(448);  // now b has waited longest
  a = PooledBuffer();
  pool.acquire(128);
  EXPECT_THAT(memory.released, ElementsAre(512));
}

TEST(BufferPool, BlockLargerThanTheCapDoesNotPushOthersOut) {
  CountedMemory memory;
  BufferPool pool({.cached_bytes = 1024}, memory.functions());
  pool.acquire(512);
  pool.acquire(4096);
  EXPECT_THAT(memory.released, ElementsAre(4096));
  EXPECT_EQ(pool.statistics().cached_bytes, 512U);
  EXPECT_EQ(pool.statistics().evictions, 1U);
}

TEST(BufferPool, HardLimitIsAnErrorWithTheNumbersAndCountsNothing) {
  BufferPool pool({.total_bytes = 4096});
  const PooledBuffer held = pool.acquire(3072);
  try {
    pool.acquire(2048);
    FAIL() << "no throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    EXPECT_THAT(error.what(), HasSubstr("2048 bytes requested, 3072 of 4096 in use"));
  }
  EXPECT_EQ(pool.statistics().in_use_bytes, 3072U);
  EXPECT_EQ(pool.statistics().peak_bytes, 3072U);
  EXPECT_NO_THROW(pool.acquire(1024));
}

TEST(BufferPool, HardLimitIncludesWaitingBlocksWhichMakeRoom) {
  CountedMemory memory;
  BufferPool pool({.total_bytes = 4096}, memory.functions());
  pool.acquire(3072);
  const PooledBuffer buffer = pool.acquire(2048);
  EXPECT_THAT(memory.released, ElementsAre(3072));
  EXPECT_EQ(memory.held(), 2048U);
}

TEST(BufferPool, WaitingBlocksGoBackWhenTheDeviceIsFull) {
  CountedMemory memory;
  memory.capacity = 4096;
  BufferPool pool({}, memory.functions());
  pool.acquire(3072);
  const PooledBuffer buffer = pool.acquire(2048);
  EXPECT_NE(buffer.data(), nullptr);
  EXPECT_EQ(pool.statistics().evictions, 1U);
}

TEST(BufferPool, FullDeviceIsAnErrorWithTheNumbersAndCountsNothing) {
  CountedMemory memory;
  memory.capacity = 4096;
  BufferPool pool({}, memory.functions());
  const PooledBuffer held = pool.acquire(3072);
  try {
    pool.acquire(2048);
    FAIL() << "no throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    EXPECT_THAT(error.what(), HasSubstr("2048 bytes requested, 3072 in use, the device refused"));
  }
  EXPECT_EQ(pool.statistics().in_use_bytes, 3072U);
  EXPECT_EQ(pool.statistics().peak_bytes, 3072U);
}

TEST(BufferPool, ExceptionOfTheDeviceLeavesTheCountsRight) {
  BufferPool pool({}, {.allocate = [](size_t) -> void* { throw std::runtime_error("device lost"); },
                       .release = [](void*, size_t) {}});
  EXPECT_THROW(pool.acquire(64), std::runtime_error);
  EXPECT_EQ(pool.statistics().in_use_bytes, 0U);
}

TEST(BufferPool, TrimGivesBackTheLongestWaitFirst) {
  CountedMemory memory;
  BufferPool pool({}, memory.functions());
  PooledBuffer a = pool.acquire(64);
  PooledBuffer b = pool.acquire(128);
  a = PooledBuffer();
  b = PooledBuffer();
  pool.trim(128);
  EXPECT_THAT(memory.released, ElementsAre(64));
  pool.trim();
  EXPECT_EQ(memory.held(), 0U);
  EXPECT_EQ(pool.statistics().evictions, 0U);
}

TEST(BufferPool, HandleMovesTheLoan) {
  CountedMemory memory;
  BufferPool pool({.cached_bytes = 0}, memory.functions());
  PooledBuffer a = pool.acquire(64);
  void* data = a.data();
  PooledBuffer b = std::move(a);
  EXPECT_EQ(b.data(), data);
  b = pool.acquire(128);
  EXPECT_THAT(memory.released, ElementsAre(64));
  EXPECT_EQ(b.bytes(), 128U);
}

TEST(BufferPool, HandleMayOutliveThePool) {
  CountedMemory memory;
  PooledBuffer kept;
  {
    BufferPool pool({}, memory.functions());
    kept = pool.acquire(256);
    pool.acquire(512);
  }
  EXPECT_EQ(memory.held(), 256U);
  std::memset(kept.data(), 1, 256);
  kept = PooledBuffer();
  EXPECT_EQ(memory.held(), 0U);
}

TEST(BufferPool, ThreadsNeverShareABlockAndTheCountsAddUp) {
  constexpr int kThreads = 4;
  constexpr int kRequests = 2000;
  CountedMemory memory;
  {
    BufferPool pool({.cached_bytes = 64 << 10, .total_bytes = 1 << 20}, memory.functions());
    std::atomic<int> overwritten{0};
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::minstd_rand random(static_cast<unsigned>(t + 1));
        std::vector<PooledBuffer> held(8);
        const auto check = [&](const PooledBuffer& buffer) {
          const auto* bytes = static_cast<const unsigned char*>(buffer.data());
          for (size_t i = 0; i < buffer.bytes(); ++i) overwritten += bytes[i] != t;
        };
        for (int request = 0; request < kRequests; ++request) {
          PooledBuffer& slot = held[random() % held.size()];
          check(slot);
          slot = pool.acquire(1 + random() % 16384);
          std::memset(slot.data(), t, slot.bytes());
        }
        for (const PooledBuffer& buffer : held) check(buffer);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(overwritten, 0);
    const BufferPoolStatistics statistics = pool.statistics();
    EXPECT_EQ(statistics.in_use_bytes, 0U);
    EXPECT_LE(statistics.cached_bytes, 64U << 10);
    EXPECT_EQ(statistics.hits + statistics.misses, static_cast<uint64_t>(kThreads) * kRequests);
    EXPECT_EQ(memory.held(), statistics.cached_bytes);
    EXPECT_LE(statistics.peak_bytes, size_t{1} << 20);
  }
  EXPECT_EQ(memory.held(), 0U);
}

}  // namespace
}  // namespace ingot
