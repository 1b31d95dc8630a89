// Route rules: what users decide by hand: thresholds by op, devices of layer ranges, memory caps.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "exec/device.h"
#include "graph/graph.h"
#include "ingot/compile_options.h"

namespace ingot::exec {

/// Checks the options against the devices of the plan, those that are missing, and the names of this build.
/// Errors: invalid_argument, naming the option, what was expected and what was found.
void check_rules(const CompileOptions& options, std::span<const Device> devices,
                 std::span<const PassedOver> missing);

/// A device wished for a launch by hand.
struct Wish {
  int device = 0;
  std::string reason;  // "layers 0-15 by hand", "threshold 500: 600 elements"
};

/// The wish for a launched node with so many output elements: its layer's before its op's. None without a
/// rule, or where the rule's device is missing.
std::optional<Wish> wish_for(const CompileOptions& options, std::span<const Device> devices,
                             const graph::Node& node, int64_t elements);

}  // namespace ingot::exec
