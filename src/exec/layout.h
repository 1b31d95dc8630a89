// Layout: where every value of a routed graph lives, and which copies cross between devices.
#pragma once

#include "exec/plan.h"

namespace ingot::exec {

/// Fills a plan's places, transfers and the bytes of each device, from its graph, bucket, host and launches
/// (whose devices and workspaces are known).
void lay_out(Plan& plan);

}  // namespace ingot::exec
