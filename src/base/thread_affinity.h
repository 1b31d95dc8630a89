// Where threads may run: the affinity mask, read and set. Linux only; elsewhere nothing can be pinned.
//
// Thread safe: no state but the guard's own.
#pragma once

#include <optional>
#include <thread>
#include <vector>

namespace ingot {

/// CPUs that the calling thread may run on, ascending; nothing where the system does not say.
std::optional<std::vector<int>> allowed_cpus();

/// Whether pin() can work on this system at all.
bool can_pin();

/// Lets a thread run on one CPU only. Errors: invalid_argument where the system refuses.
void pin(std::thread& thread, int cpu);

/// Pins the thread that calls pin(), and lets it run where it could before when the guard ends, on whatever
/// thread that is.
class AffinityGuard {
 public:
  AffinityGuard() = default;
  ~AffinityGuard();
  AffinityGuard(const AffinityGuard&) = delete;
  AffinityGuard& operator=(const AffinityGuard&) = delete;

  /// At most once. Errors: those of ingot::pin().
  void pin(int cpu);

 private:
  int cpu_ = -1;             // -1: nothing is pinned
  int thread_ = 0;           // the system's number of it
  std::vector<int> before_;  // CPUs it could run on
};

}  // namespace ingot
