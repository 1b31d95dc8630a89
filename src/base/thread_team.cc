#include "base/thread_team.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/thread_pool.h"

namespace ingot {
namespace {

std::string why_no_more(const CpuTopology& topology) {
  const size_t allowed = topology.cpus.size();
  if (topology.room() < static_cast<int>(allowed))
    return fmt::format("the control group of this process allows {:.3g} CPUs", *topology.group_limit);
  return fmt::format("this process may use {} CPU{}", allowed, allowed == 1 ? "" : "s");
}

}  // namespace

ThreadTeam choose_thread_team(const ThreadTeamOptions& options, const CpuTopology& topology, bool has_pin) {
  const int asked = options.threads;
  if (asked < 0 || asked > ThreadPool::kMaxThreads) {
    fail(ErrorCode::invalid_argument, "threads: expected 0 (automatic) to {}, found {}",
         ThreadPool::kMaxThreads, asked);
  }
  if (options.pin && !has_pin)
    fail(ErrorCode::invalid_argument, "pin: this system does not say or set where a thread runs");
  if (options.pin && asked > static_cast<int>(topology.cpus.size())) {
    fail(ErrorCode::invalid_argument,
         "pin: expected at most {} threads, one for each CPU of this process, found {}", topology.cpus.size(),
         asked);
  }
  const int room = topology.room();
  ThreadTeam team;
  if (asked == 0) {
    team.threads = std::clamp(topology.performance_cores(), 1, std::min(room, ThreadPool::kMaxThreads));
  } else if (options.cap && asked > room) {
    team.threads = room;
    team.notes.push_back(fmt::format("{} thread{} instead of {}: {}", room, room == 1 ? "" : "s", asked,
                                     why_no_more(topology)));
  } else {
    team.threads = asked;
  }
  if (options.pin) {
    for (int thread = 0; thread < team.threads; ++thread)
      team.cpus.push_back(topology.cpus[static_cast<size_t>(thread)].number);
    team.notes.push_back(
        fmt::format("pinned to CPU{} {}", team.threads == 1 ? "" : "s", fmt::join(team.cpus, ", ")));
  }
  return team;
}

}  // namespace ingot
