// Which launch finds the rows that the one before it rounded. Needs no device: the copies may lie anywhere.
#include "backend/cuda/rounded_rows.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace ingot::cuda {
namespace {

class RoundedRowsOfLaunches : public ::testing::Test {
 protected:
  BufferPool pool_;
  RoundedRows rows_{pool_.acquire(RoundedRows::kBytes)};
  float first_[64] = {};
  float second_[64] = {};
};

TEST_F(RoundedRowsOfLaunches, TheNextLaunchFindsWhatItWants) {
  rows_.want(RoundedRows::Wanted{.of = first_, .rows = 2, .width = 32}, false);
  uint16_t* const place = rows_.begin(first_, 2, 32);
  ASSERT_NE(place, nullptr);
  rows_.want(std::nullopt, false);
  EXPECT_EQ(rows_.find(first_, 2, 32), place);
}

TEST_F(RoundedRowsOfLaunches, TellsWhetherTheyAreAllThatIsRead) {
  rows_.want(RoundedRows::Wanted{.of = first_, .rows = 2, .width = 32}, true);
  EXPECT_TRUE(rows_.is_alone());
  rows_.want(RoundedRows::Wanted{.of = second_, .rows = 2, .width = 32}, false);
  EXPECT_FALSE(rows_.is_alone());
}

TEST_F(RoundedRowsOfLaunches, NobodyRoundsWhatNobodyWants) {
  rows_.want(RoundedRows::Wanted{.of = first_, .rows = 2, .width = 32}, false);
  EXPECT_EQ(rows_.begin(second_, 2, 32), nullptr);  // other rows
  EXPECT_EQ(rows_.begin(first_, 1, 64), nullptr);   // the same memory as rows of another width
  rows_.want(std::nullopt, false);
  EXPECT_EQ(rows_.find(first_, 2, 32), nullptr);
}

TEST_F(RoundedRowsOfLaunches, OnlyTheLaunchRightBehindFindsThem) {
  rows_.want(RoundedRows::Wanted{.of = first_, .rows = 2, .width = 32}, false);
  ASSERT_NE(rows_.begin(first_, 2, 32), nullptr);
  rows_.want(std::nullopt, false);
  rows_.want(std::nullopt, false);
  EXPECT_EQ(rows_.find(first_, 2, 32), nullptr);
}

TEST_F(RoundedRowsOfLaunches, ALaunchReadsOneCopyAndWritesTheOther) {
  rows_.want(RoundedRows::Wanted{.of = first_, .rows = 2, .width = 32}, false);
  uint16_t* const read = rows_.begin(first_, 2, 32);
  rows_.want(RoundedRows::Wanted{.of = second_, .rows = 2, .width = 32}, false);
  ASSERT_EQ(rows_.find(first_, 2, 32), read);
  uint16_t* const written = rows_.begin(second_, 2, 32);
  ASSERT_NE(written, nullptr);
  EXPECT_GE(std::abs(written - read), RoundedRows::kMostRows * RoundedRows::kMostWidth);
}

TEST_F(RoundedRowsOfLaunches, NothingIsLeftForOtherLaunches) {
  rows_.want(RoundedRows::Wanted{.of = first_, .rows = 2, .width = 32}, false);
  ASSERT_NE(rows_.begin(first_, 2, 32), nullptr);
  rows_.forget();
  rows_.want(std::nullopt, false);
  EXPECT_EQ(rows_.find(first_, 2, 32), nullptr);
}

TEST_F(RoundedRowsOfLaunches, TooManyOrTooWideRowsHaveNoCopy) {
  rows_.want(RoundedRows::Wanted{.of = first_, .rows = RoundedRows::kMostRows + 1, .width = 32}, false);
  EXPECT_EQ(rows_.begin(first_, RoundedRows::kMostRows + 1, 32), nullptr);
  rows_.want(RoundedRows::Wanted{.of = first_, .rows = 1, .width = RoundedRows::kMostWidth + 32}, false);
  EXPECT_EQ(rows_.begin(first_, 1, RoundedRows::kMostWidth + 32), nullptr);
}

}  // namespace
}  // namespace ingot::cuda
