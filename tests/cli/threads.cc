// --threads and --pin: what the user is told where the machine has less room than asked for.
#include <regex>

#include "cli/expect.h"

namespace ingot::cli_test {
namespace {

using testing::HasSubstr;
using testing::Not;

Result run(std::vector<std::string> more) {
  more.insert(more.begin(), {"run", "-n", "20", "--seed", "11"});
  return ingot(more);
}

/// Threads that this machine has room for, as the note on 1024 says; empty: it said nothing.
std::string noted_room(const std::string& text) {
  std::smatch found;
  const std::regex note(
      "cpu: (\\d+) threads? instead of 1024: (this process may use|the control group of this process allows) "
      "[\\d.]+ CPU");
  return std::regex_search(text, found, note) ? found[1].str() : "";
}

TEST(Threads, MoreThanTheMachineHasRoomForAreCutDownAndSaid) {
  const Result most = run({"--threads", "1024"});
  expect_success(most);
  const std::string room = noted_room(most.err);
  ASSERT_NE(room, "") << most.err;
  EXPECT_THAT(most.err, HasSubstr(", " + room + (room == "1" ? " thread," : " threads,")));

  const Result fits = run({"--threads", room});
  EXPECT_EQ(fits.out, most.out);
  EXPECT_THAT(fits.err, Not(HasSubstr("instead of")));

  const Result explained =
      ingot({"explain", "--no-profile", "--step", "decode", "--json", "--threads", "1024"});
  expect_success(explained);
  EXPECT_EQ(noted_room(explained.out), room);
}

#ifdef __linux__  // the one system on which threads are pinned
TEST(Threads, PinnedOnesAreSaidAndWriteTheSameText) {
  const Result pinned = run({"--pin"});
  expect_success(pinned);
  EXPECT_THAT(pinned.err, HasSubstr("ingot: cpu: pinned to CPU"));
  EXPECT_EQ(pinned.out, run({}).out);
}

TEST(Threads, MorePinnedOnesThanCpusAreRefused) {
  expect_refused(run({"--pin", "--threads", "1024"}), {"pin", "one for each CPU", "1024"});
}
#endif

}  // namespace
}  // namespace ingot::cli_test
