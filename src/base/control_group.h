// The control groups of this process (Linux, versions 1 and 2): where limits of CPUs and memory stand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ingot {

/// The folders whose files limit `controller` ("cpu", "memory") for this process: its groups and all their
/// parents, of both versions. A folder may not exist: inside a container the group may be a path of the host
/// that is not visible there. `root` stands in for "/". Thread safe: no state.
std::vector<std::string> control_group_folders(std::string_view controller, const std::string& root = "/");

}  // namespace ingot
