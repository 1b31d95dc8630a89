// Which CPUs this process may use, and what they are: hyper-threads of one core, efficiency cores.
//
// Read from /sys/devices/system/cpu (Linux). What a system does not say, or says wrongly, is taken as the
// plain case: every CPU a performance core of its own. Thread safe: no state.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/thread_affinity.h"

namespace ingot {

/// A CPU is what the system schedules on: a core, or one of its hyper-threads.
struct Cpu {
  int number = 0;              // the system's
  int core = 0;                // the lowest number among its core's hyper-threads
  bool is_efficiency = false;  // of a core that is much slower than others of the machine
  double speed = 0;            // beside other CPUs of the machine; 0: not known
};

struct CpuTopology {
  /// Those that this process may run on, best first: one hyper-thread of each performance core, fast ones
  /// before slow ones, then of each efficiency core, then the further hyper-threads.
  std::vector<Cpu> cpus;
  /// CPUs that the control group allows, where it has a limit.
  std::optional<double> group_limit;

  /// Threads that can run at once: of `cpus` as many as the limit allows, a fraction rounded up.
  int room() const;
  /// Cores that are no efficiency cores.
  int performance_cores() const;
};

/// `root` stands in for "/"; `allowed` are CPUs by number, where known.
CpuTopology read_cpu_topology(const std::string& root = "/",
                              const std::optional<std::vector<int>>& allowed = allowed_cpus());

}  // namespace ingot
