// How many threads a device on the CPU gets, and where: what the user asked for, within what there is.
//
// Thread safe: no state.
#pragma once

#include <string>
#include <vector>

#include "base/cpu_topology.h"

namespace ingot {

struct ThreadTeamOptions {
  /// 0: one on each performance core that this process may use. Efficiency cores and second hyper-threads are
  /// left out: a thread there finishes its last chunk after all others have waited for it.
  int threads = 0;
  /// Each thread on a CPU of its own.
  bool pin = false;
  /// No more threads than can run at once. Off, a team is as large as asked for: for tests of teams that the
  /// machine has no room for.
  bool cap = true;
};

struct ThreadTeam {
  int threads = 1;
  std::vector<int> cpus = {};           // of each thread, where they are pinned
  std::vector<std::string> notes = {};  // a sentence each, for the user
};

/// Errors: invalid_argument for a number outside 0 … ThreadPool::kMaxThreads, and for `pin` where the system
/// cannot or there are fewer CPUs than threads.
ThreadTeam choose_thread_team(const ThreadTeamOptions& options,
                              const CpuTopology& topology = read_cpu_topology(), bool has_pin = can_pin());

}  // namespace ingot
