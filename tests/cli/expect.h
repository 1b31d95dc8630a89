// What tests of the command line expect of a Result.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cli/command.h"

namespace ingot::cli_test {

/// Bad input: exit code 2, nothing on standard output, and one line on standard error that begins with the
/// program's name and holds every part.
inline void expect_refused(const Result& result, const std::vector<std::string>& parts) {
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.code, 2) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(result.err.starts_with("ingot: ")) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_LE(result.err.size(), 1200U) << result.err;
  for (const std::string& part : parts) EXPECT_THAT(result.err, testing::HasSubstr(part));
}

inline void expect_success(const Result& result) {
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.code, 0) << result.err;
}

}  // namespace ingot::cli_test
