// The list of all ops: names for messages and tables, and the check that each has op cases.
#pragma once

#include <span>
#include <string_view>

namespace ingot::graph {

struct OpEntry {
  std::string_view name;
  std::string_view summary;
};

std::span<const OpEntry> op_table();
/// The row of that name, or null.
const OpEntry* find_op(std::string_view name);

}  // namespace ingot::graph
