// Explains a plan: its launches as rows, with what each must do at least and what it was measured to take.
#pragma once

#include <span>

#include "exec/plan.h"
#include "ingot/explain.h"

namespace ingot::exec {

/// Everything that a plan knows of a step of these sizes, predicted by the costs of its devices; times and
/// shares, and the step's context, are left empty. `devices`: as the plan was compiled for.
ExplainStep explain(const Plan& plan, const graph::DimValues& dims, std::span<const Device> devices);

/// Fills in times by launch and by transfer of the plan, and what follows from them: shares of the devices'
/// limits, sums, totals, the error of the prediction.
void add_times(ExplainStep& step, std::span<const double> launch_us, std::span<const double> transfer_us,
               std::span<const ExplainDevice> devices);

}  // namespace ingot::exec
