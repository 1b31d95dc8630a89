#include "base/control_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

namespace ingot {
namespace {

bool lists(std::string_view controllers, std::string_view controller) {
  while (!controllers.empty()) {
    const size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == controller) return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

}  // namespace

std::vector<std::string> control_group_folders(std::string_view controller, const std::string& root) {
  // One line a hierarchy: "id:controllers:/path", with id 0 and no controllers for version 2.
  std::ifstream groups(root + "/proc/self/cgroup");
  const std::string mounts = root + "/sys/fs/cgroup";
  std::vector<std::string> folders;
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string group = line.substr(second + 1);
    if (group == "/" || group.find("/..") != std::string::npos) group.clear();

    // Version 1 is mounted under all names of a hierarchy, "cpu,cpuacct", or under its own.
    std::vector<std::string> places;
    if (controllers.empty()) {
      places = {mounts, mounts + "/unified"};
    } else if (lists(controllers, controller)) {
      places = {fmt::format("{}/{}", mounts, controllers), fmt::format("{}/{}", mounts, controller)};
    }
    for (;;) {
      for (const std::string& place : places) folders.push_back(place + group);
      const size_t slash = group.rfind('/');
      if (slash == std::string::npos) break;
      group.resize(slash);
    }
  }
  return folders;
}

}  // namespace ingot
