#include "base/cpu_count.h"

#include <fmt/format.h>

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string_view>
#include <thread>
#include <vector>

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

bool lists_cpu(std::string_view controllers) {
  while (!controllers.empty()) {
    const size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == "cpu") return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

// The tightest limit from `group` up to the root of the hierarchy mounted at `mount`. Inside a container
// `group` may be a path of the host that is not visible: its folders are then missing and the walk ends at
// the mount, which is the container's own group.
template <class Read>
std::optional<double> tightest(const std::string& mount, std::string group, Read read) {
  std::optional<double> least;
  for (;;) {
    if (const auto limit = read(mount + group)) least = least ? std::min(*least, *limit) : limit;
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return least;
    group.resize(slash);
  }
}

}  // namespace

int affinity_cpus() {
#ifdef __linux__
  // The kernel refuses a mask smaller than its own, whose size depends on how it was built.
  for (size_t bits = 1024; bits <= (size_t{1} << 20); bits *= 2) {
    std::vector<cpu_set_t> mask(bits / (8 * sizeof(cpu_set_t)));
    const size_t bytes = mask.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) == 0) return std::max(1, CPU_COUNT_S(bytes, mask.data()));
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::optional<double> cgroup_cpu_limit(const std::string& root) {
  // One line a hierarchy: "id:controllers:/path", with id 0 and no controllers for version 2.
  std::ifstream groups(root + "/proc/self/cgroup");
  const std::string mounts = root + "/sys/fs/cgroup";
  std::optional<double> least;
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string group = line.substr(second + 1);
    if (group == "/" || group.find("/..") != std::string::npos) group.clear();

    std::vector<std::optional<double>> limits;
    if (controllers.empty()) {
      limits = {tightest(mounts, group, read_v2), tightest(mounts + "/unified", group, read_v2)};
    } else if (lists_cpu(controllers)) {
      // Mounted under all its names, "cpu,cpuacct", or under its own.
      for (const std::string& mount : {controllers, std::string("cpu")}) {
        limits.push_back(tightest(fmt::format("{}/{}", mounts, mount), group, read_v1));
      }
    }
    for (const auto& limit : limits) {
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
