#include "base/thread_team.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/thread_pool.h"

namespace ingot {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Two performance cores of two hyper-threads (0 and 1, 2 and 3), and two efficiency cores (4, 5).
CpuTopology hybrid() {
  return {.cpus = {{.number = 0, .core = 0},
                   {.number = 2, .core = 2},
                   {.number = 4, .core = 4, .is_efficiency = true},
                   {.number = 5, .core = 5, .is_efficiency = true},
                   {.number = 1, .core = 0},
                   {.number = 3, .core = 2}},
          .group_limit = {}};
}

CpuTopology plain(int cpus, std::optional<double> limit = {}) {
  CpuTopology topology{.cpus = {}, .group_limit = limit};
  for (int cpu = 0; cpu < cpus; ++cpu) topology.cpus.push_back({.number = cpu, .core = cpu});
  return topology;
}

std::string refusal(const ThreadTeamOptions& options, const CpuTopology& topology, bool has_pin = true) {
  try {
    choose_thread_team(options, topology, has_pin);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "not refused";
}

TEST(ThreadTeam, AutomaticIsOneThreadAPerformanceCore) {
  const ThreadTeam team = choose_thread_team({}, hybrid());
  EXPECT_EQ(team.threads, 2);
  EXPECT_THAT(team.notes, IsEmpty());
  EXPECT_THAT(team.cpus, IsEmpty());
}

TEST(ThreadTeam, AutomaticStaysWithinTheControlGroup) {
  EXPECT_EQ(choose_thread_team({}, plain(64, 1.5)).threads, 2);
  EXPECT_EQ(choose_thread_team({}, plain(64, 0.1)).threads, 1);
}

TEST(ThreadTeam, AutomaticOnEfficiencyCoresAloneIsOneThread) {
  EXPECT_EQ(
      choose_thread_team({}, {.cpus = {{.number = 4, .is_efficiency = true}}, .group_limit = {}}).threads, 1);
}

TEST(ThreadTeam, AskedForIsGivenUpToEveryCpu) {
  for (int threads = 1; threads <= 6; ++threads) {
    const ThreadTeam team = choose_thread_team({.threads = threads}, hybrid());
    EXPECT_EQ(team.threads, threads);
    EXPECT_THAT(team.notes, IsEmpty());
  }
}

TEST(ThreadTeam, MoreThanTheRoomAreCutDownAndSaid) {
  const ThreadTeam mask = choose_thread_team({.threads = 8}, plain(2));
  EXPECT_EQ(mask.threads, 2);
  EXPECT_THAT(mask.notes, ElementsAre("2 threads instead of 8: this process may use 2 CPUs"));
  const ThreadTeam group = choose_thread_team({.threads = 8}, plain(64, 1.5));
  EXPECT_EQ(group.threads, 2);
  EXPECT_THAT(group.notes,
              ElementsAre("2 threads instead of 8: the control group of this process allows 1.5 CPUs"));
}

TEST(ThreadTeam, WithoutTheCapATeamIsAsLargeAsAskedFor) {
  const ThreadTeam team = choose_thread_team({.threads = 8, .pin = false, .cap = false}, plain(2));
  EXPECT_EQ(team.threads, 8);
  EXPECT_THAT(team.notes, IsEmpty());
}

TEST(ThreadTeam, PinnedThreadsTakeTheBestCpusAndSaySo) {
  const ThreadTeam team = choose_thread_team({.threads = 3, .pin = true}, hybrid(), true);
  EXPECT_THAT(team.cpus, ElementsAre(0, 2, 4));
  EXPECT_THAT(team.notes, ElementsAre("pinned to CPUs 0, 2, 4"));
  EXPECT_THAT(choose_thread_team({.threads = 1, .pin = true}, hybrid(), true).notes,
              ElementsAre("pinned to CPU 0"));
}

TEST(ThreadTeam, PinningMoreThreadsThanCpusIsRefusedWithBothNumbers) {
  EXPECT_THAT(refusal({.threads = 7, .pin = true}, hybrid()),
              AllOf(HasSubstr("at most 6"), HasSubstr("found 7")));
  EXPECT_THAT(refusal({.threads = 7, .pin = true, .cap = false}, hybrid()), HasSubstr("found 7"));
}

TEST(ThreadTeam, PinningWhereTheSystemCannotIsRefused) {
  EXPECT_THAT(refusal({.pin = true}, hybrid(), false), HasSubstr("pin: this system"));
}

TEST(ThreadTeam, CountsOutsideTheirRangeAreNamed) {
  for (const int threads : {-1, ThreadPool::kMaxThreads + 1})
    EXPECT_THAT(refusal({.threads = threads}, plain(2)), HasSubstr(std::to_string(threads)));
}

}  // namespace
}  // namespace ingot
