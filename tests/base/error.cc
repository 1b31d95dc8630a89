#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/log.h"

namespace ingot {
namespace {

TEST(Check, ThrowsInternalErrorThatNamesConditionAndPlace) {
  try {
    const int heads = 3;
    INGOT_CHECK(heads == 4, "found {} heads", heads);
    FAIL() << "no throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_THAT(error.what(), testing::HasSubstr("found 3 heads"));
    EXPECT_THAT(error.what(), testing::HasSubstr("heads == 4"));
    EXPECT_THAT(error.what(), testing::HasSubstr("error.cc:"));
  }
}

TEST(Log, UnknownLevelIsAnErrorThatListsTheLevels) {
  try {
    set_log_level("loud");
    FAIL() << "no throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), testing::HasSubstr("found 'loud'"));
  }
  set_log_level("warning");
}

}  // namespace
}  // namespace ingot
