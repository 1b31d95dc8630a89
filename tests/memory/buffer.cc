#include "memory/buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "ingot/error.h"

namespace ingot {
namespace {

TEST(Buffer, AllocatesWritableBytesAtTheAlignmentAskedFor) {
  for (const size_t alignment : {size_t{64}, size_t{4096}}) {
    Buffer buffer = Buffer::allocate(100, alignment);
    EXPECT_EQ(buffer.bytes(), 100U);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % alignment, 0U);
    buffer.mutable_data()[99] = std::byte{7};
    EXPECT_EQ(buffer.data()[99], std::byte{7});
  }
}

TEST(Buffer, AlignmentThatIsNoPowerOfTwoIsRefused) {
  EXPECT_THROW(Buffer::allocate(8, 48), Error);
  EXPECT_THROW(Buffer::allocate(8, 0), Error);
}

TEST(Buffer, NoBytesNeedNoMemory) {
  EXPECT_EQ(Buffer::allocate(0).data(), nullptr);
  EXPECT_EQ(Buffer().bytes(), 0U);
}

TEST(Buffer, DeleterRunsOnceWithDataAndSizeHoweverTheBufferMoves) {
  std::byte bytes[3] = {};
  int calls = 0;
  {
    Buffer first(bytes, 3, [&](std::byte* data, size_t size) {
      ++calls;
      EXPECT_EQ(data, bytes);
      EXPECT_EQ(size, 3U);
    });
    Buffer second = std::move(first);
    Buffer third;
    third = std::move(second);
    EXPECT_EQ(third.data(), bytes);
    EXPECT_EQ(calls, 0);
  }
  EXPECT_EQ(calls, 1);
}

TEST(Buffer, AssignmentGivesBackTheOldBytes) {
  std::byte bytes[1] = {};
  int calls = 0;
  Buffer buffer(bytes, 1, [&](std::byte*, size_t) { ++calls; });
  buffer = Buffer::allocate(8);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(buffer.bytes(), 8U);
}

TEST(Buffer, BorrowedBytesStayInPlaceAndKeepTheirOwnerAlive) {
  auto owner = std::make_shared<int>(5);
  const std::weak_ptr<int> watch = owner;
  {
    const int* data = owner.get();
    const Buffer buffer = Buffer::borrow(data, sizeof(int), std::move(owner));
    EXPECT_EQ(static_cast<const void*>(buffer.data()), data);
    EXPECT_FALSE(watch.expired());
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Buffer, BorrowedBytesMayNotBeWritten) {
  const int value = 5;
  Buffer buffer = Buffer::borrow(&value, sizeof(value), nullptr);
  EXPECT_FALSE(buffer.writable());
  EXPECT_THROW(buffer.mutable_data(), Error);
}

}  // namespace
}  // namespace ingot
