// Which sampling finds the logits that the launch before it watched. Needs no device: nothing is written.
#include "backend/cuda/watched_logits.h"

#include <gtest/gtest.h>

namespace ingot::cuda {
namespace {

constexpr int kBlocks = 8;
constexpr int kVocab = 64;

class WatchedLogitsOfLaunches : public ::testing::Test {
 protected:
  Sample sample_of(const float* logits) const {
    Sample sample;
    sample.logits = logits;
    sample.rows = 1;
    sample.vocab = kVocab;
    return sample;
  }

  BufferPool pool_;
  WatchedRow row_{pool_.acquire(logits_watch_bytes(kBlocks)), kBlocks};
  float first_[kVocab] = {};
  float second_[kVocab] = {};
};

TEST_F(WatchedLogitsOfLaunches, TheNextLaunchFindsWhatItSamples) {
  row_.want(sample_of(first_));
  const LogitsWatch watch = row_.begin(first_, kVocab);
  ASSERT_NE(watch.bests, nullptr);
  EXPECT_EQ(watch.count, kBlocks);
  EXPECT_EQ(watch.sample.logits, first_);
  row_.want(std::nullopt);
  const LogitsWatch* const found = row_.find(first_);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->bests, watch.bests);
  EXPECT_EQ(found->sums, watch.sums);
  EXPECT_EQ(found->sample.logits, first_);
}

TEST_F(WatchedLogitsOfLaunches, NobodyWatchesWhatNobodySamples) {
  EXPECT_EQ(row_.begin(first_, kVocab).bests, nullptr);
  row_.want(sample_of(first_));
  EXPECT_EQ(row_.begin(second_, kVocab).bests, nullptr);     // other logits
  EXPECT_EQ(row_.begin(first_, kVocab / 2).bests, nullptr);  // a row of another width
  row_.want(std::nullopt);
  EXPECT_EQ(row_.find(first_), nullptr);
}

TEST_F(WatchedLogitsOfLaunches, OnlyTheLaunchRightBehindFindsThem) {
  row_.want(sample_of(first_));
  ASSERT_NE(row_.begin(first_, kVocab).bests, nullptr);
  row_.want(std::nullopt);
  EXPECT_EQ(row_.find(second_), nullptr);
  row_.want(std::nullopt);
  EXPECT_EQ(row_.find(first_), nullptr);
}

TEST_F(WatchedLogitsOfLaunches, NothingIsLeftForOtherLaunches) {
  row_.want(sample_of(first_));
  ASSERT_NE(row_.begin(first_, kVocab).bests, nullptr);
  row_.forget();
  row_.want(std::nullopt);
  EXPECT_EQ(row_.find(first_), nullptr);
}

}  // namespace
}  // namespace ingot::cuda
