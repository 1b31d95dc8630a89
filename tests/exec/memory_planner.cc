#include "exec/memory_planner.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace ingot::exec {
namespace {

/// An independent check: at every launch, marks each 64-byte unit that a living block covers; none twice.
::testing::AssertionResult no_overlap(const std::vector<Lifetime>& blocks, size_t arena) {
  int launches = 0;
  for (const Lifetime& block : blocks) launches = std::max(launches, block.last + 1);
  for (int launch = 0; launch < launches; ++launch) {
    std::vector<bool> used(arena / kArenaAlignment);
    for (size_t i = 0; i < blocks.size(); ++i) {
      const Lifetime& block = blocks[i];
      if (launch < block.first || launch > block.last) continue;
      if (block.offset % kArenaAlignment != 0)
        return ::testing::AssertionFailure() << "block " << i << " is unaligned";
      if (block.offset + block.bytes > arena)
        return ::testing::AssertionFailure() << "block " << i << " is outside";
      const size_t end = (block.offset + block.bytes + kArenaAlignment - 1) / kArenaAlignment;
      for (size_t unit = block.offset / kArenaAlignment; unit < end; ++unit) {
        if (used[unit])
          return ::testing::AssertionFailure() << "block " << i << " overlaps at launch " << launch;
        used[unit] = true;
      }
    }
  }
  return ::testing::AssertionSuccess();
}

TEST(MemoryPlanner, BlocksThatNeverLiveTogetherShareTheirBytes) {
  std::vector<Lifetime> blocks{{.bytes = 100, .first = 0, .last = 1}, {.bytes = 90, .first = 2, .last = 3}};
  EXPECT_EQ(place(blocks), 128U);
  EXPECT_EQ(peak_live_bytes(blocks), 128U);
}

TEST(MemoryPlanner, BlocksThatMeetAtOneLaunchDoNot) {
  std::vector<Lifetime> blocks{{.bytes = 100, .first = 0, .last = 2}, {.bytes = 90, .first = 2, .last = 3}};
  EXPECT_EQ(place(blocks), 256U);
  EXPECT_TRUE(no_overlap(blocks, 256));
}

TEST(MemoryPlanner, FillsAGap) {
  std::vector<Lifetime> blocks{{.bytes = 640, .first = 0, .last = 9},
                               {.bytes = 320, .first = 0, .last = 1},
                               {.bytes = 192, .first = 0, .last = 9},
                               {.bytes = 128, .first = 2, .last = 9}};
  EXPECT_EQ(place(blocks), 640U + 320U + 192U) << "the last block goes where the second was";
  EXPECT_TRUE(no_overlap(blocks, 1152));
}

TEST(MemoryPlanner, NothingAndEmptyBlocksTakeNothing) {
  std::vector<Lifetime> none;
  EXPECT_EQ(place(none), 0U);
  EXPECT_EQ(peak_live_bytes(none), 0U);
  std::vector<Lifetime> empty{{.bytes = 0, .first = 0, .last = 5}, {.bytes = 0, .first = 1, .last = 2}};
  EXPECT_EQ(place(empty), 0U);
}

TEST(MemoryPlanner, RandomLifetimesNeverOverlap) {
  std::mt19937 random(7);
  for (int round = 0; round < 4000; ++round) {
    const int launches = 1 + static_cast<int>(random() % 40);
    std::vector<Lifetime> blocks(random() % 40);
    for (Lifetime& block : blocks) {
      block.bytes = random() % 8 == 0 ? 0 : random() % (random() % 4 == 0 ? 10000 : 500);
      block.first = static_cast<int>(random()) % launches;
      block.first = std::abs(block.first);
      block.last =
          std::min(launches - 1, block.first + static_cast<int>(random() % (random() % 5 == 0 ? 40 : 4)));
    }
    const size_t arena = place(blocks);
    ASSERT_GE(arena, peak_live_bytes(blocks)) << round;
    ASSERT_TRUE(no_overlap(blocks, arena)) << round;
    size_t highest = 0;
    for (const Lifetime& block : blocks) highest = std::max(highest, block.offset + block.bytes);
    ASSERT_LT(arena - highest, kArenaAlignment) << "the arena ends where the last block does";
  }
}

TEST(MemoryPlanner, TheCheckNoticesAnOverlap) {
  EXPECT_FALSE(no_overlap(
      {{.bytes = 65, .first = 0, .last = 1, .offset = 0}, {.bytes = 1, .first = 1, .last = 1, .offset = 64}},
      128));
  EXPECT_FALSE(no_overlap({{.bytes = 65, .first = 0, .last = 1, .offset = 64}}, 128));
}

}  // namespace
}  // namespace ingot::exec
