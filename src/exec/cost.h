// What a step must do at least, summed over a plan from the ops' own costs.
#pragma once

#include "exec/plan.h"

namespace ingot::exec {

/// Floating-point operations of all launches at these sizes.
double step_flops(const Plan& plan, const graph::DimValues& dims);

/// Bytes of weights that a step must read: each weight once; of tables that are only looked up, the rows
/// taken.
double step_weight_bytes(const Plan& plan, const graph::DimValues& dims);

}  // namespace ingot::exec
