#include "base/machine_memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string_view>

#include "base/control_group.h"

namespace ingot {
namespace {

/// The number of a file that holds one; nothing for "max", for no file, or beyond an int64_t.
std::optional<int64_t> read_bytes(const std::string& path) {
  std::ifstream file(path);
  int64_t bytes = 0;
  if (!(file >> bytes) || bytes < 0) return std::nullopt;
  return bytes;
}

/// The number after `key` in a file of lines "key number" or "key: number kB".
std::optional<int64_t> read_field(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t end = line.find_first_of(": ");
    if (end == std::string::npos || std::string_view(line).substr(0, end) != key) continue;
    const size_t digits = line.find_first_of("0123456789", end);
    if (digits == std::string::npos) return std::nullopt;
    return std::strtoll(line.c_str() + digits, nullptr, 10);
  }
  return std::nullopt;
}

/// One control group: its limit, and how much of it is in use by more than pages of files that can be
/// dropped.
struct Group {
  int64_t limit = 0;
  int64_t used = 0;
};

std::optional<Group> read_group(const std::string& folder) {
  struct Names {
    const char* limit;
    const char* usage;
    const char* droppable;
  };
  constexpr Names kVersions[] = {{"/memory.max", "/memory.current", "inactive_file"},
                                 {"/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file"}};
  for (const Names& names : kVersions) {
    const auto limit = read_bytes(folder + names.limit);
    if (!limit) continue;
    const int64_t usage = read_bytes(folder + names.usage).value_or(0);
    const int64_t droppable = read_field(folder + "/memory.stat", names.droppable).value_or(0);
    return Group{.limit = *limit, .used = std::max<int64_t>(0, usage - droppable)};
  }
  return std::nullopt;
}

}  // namespace

MachineMemory machine_memory(const std::string& root) {
  constexpr int64_t kKibi = 1024;
  const std::string meminfo = root + "/proc/meminfo";
  MachineMemory memory;
  memory.total_bytes = read_field(meminfo, "MemTotal").value_or(0) * kKibi;
  memory.available_bytes = read_field(meminfo, "MemAvailable").value_or(0) * kKibi;
  for (const std::string& folder : control_group_folders("memory", root)) {
    const auto group = read_group(folder);
    if (!group) continue;
    if (memory.total_bytes == 0 || group->limit < memory.total_bytes) memory.total_bytes = group->limit;
    memory.available_bytes =
        std::min(memory.available_bytes, std::max<int64_t>(0, group->limit - group->used));
  }
  memory.available_bytes = std::min(memory.available_bytes, memory.total_bytes);
  return memory;
}

}  // namespace ingot
