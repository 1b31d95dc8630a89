// How many threads can really run at once here: the affinity mask and the limit of the control group.
//
// std::thread::hardware_concurrency knows the first only, and a container with a limit of two CPUs on a
// machine of 64 would get 64 threads that take turns. Thread safe: no state.
#pragma once

#include <optional>
#include <string>

namespace ingot {

/// CPUs in this process's affinity mask.
int affinity_cpus();

/// CPUs that the control group of this process may use (quota / period; version 1 or 2, the tightest limit of
/// the group and its parents), or nothing where no limit is set or none can be read. `root` stands in for
/// "/".
std::optional<double> cgroup_cpu_limit(const std::string& root = "/");

/// The smaller of both, a fraction rounded up, at least 1.
int available_cpus(const std::string& root = "/");

}  // namespace ingot
