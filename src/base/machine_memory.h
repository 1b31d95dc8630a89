// How much memory this process may really use: what the machine has, and the limit of the control group.
#pragma once

#include <cstdint>
#include <string>

namespace ingot {

struct MachineMemory {
  /// Physical memory, or the control group's limit where that is less (the tightest of the group and its
  /// parents). 0: cannot be read.
  int64_t total_bytes = 0;
  /// Of that, what is free now or can be had by dropping pages of files.
  int64_t available_bytes = 0;
};

/// `root` stands in for "/". Thread safe: no state.
MachineMemory machine_memory(const std::string& root = "/");

}  // namespace ingot
