#include "base/cpu_count.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>

#include "base/control_group.h"
#include "base/thread_affinity.h"

namespace ingot {
namespace {

// quota / period, or nothing where the pair sets no limit.
std::optional<double> cpus(double quota, double period) {
  if (!(quota > 0) || !(period > 0)) return std::nullopt;
  return quota / period;
}

// Version 2, file cpu.max: "max 100000" or "150000 100000" (quota and period in microseconds).
std::optional<double> read_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0;
  double period = 0;
  if (!(file >> quota >> period)) return std::nullopt;  // no such file, or "max"
  return cpus(quota, period);
}

// Version 1: one number a file, a quota of -1 for no limit.
std::optional<double> read_v1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us");
  std::ifstream period_file(folder + "/cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  if (!(quota_file >> quota) || !(period_file >> period)) return std::nullopt;
  return cpus(quota, period);
}

}  // namespace

int affinity_cpus() {
  if (const auto cpus = allowed_cpus()) return static_cast<int>(cpus->size());
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::optional<double> cgroup_cpu_limit(const std::string& root) {
  std::optional<double> least;
  for (const std::string& folder : control_group_folders("cpu", root)) {
    for (const auto& limit : {read_v2(folder), read_v1(folder)}) {
      if (limit) least = least ? std::min(*least, *limit) : limit;
    }
  }
  return least;
}

int available_cpus(const std::string& root) {
  const int allowed = affinity_cpus();
  const std::optional<double> limit = cgroup_cpu_limit(root);
  if (!limit || *limit >= allowed) return allowed;
  return std::max(1, static_cast<int>(std::ceil(*limit)));
}

}  // namespace ingot
