// Explains a plan: its launches as rows, with what each must do at least and what it was measured to take.
#pragma once

#include <span>

#include "exec/plan.h"
#include "ingot/explain.h"

namespace ingot::exec {

/// The sizes of the step that is explained.
struct ExplainSizes {
  graph::DimValues dims;       // of the run
  graph::DimValues cost_dims;  // that flops and bytes are counted at: in prefill, the rows' mean context
};

/// Everything of a step that the plan knows; `context`, times and shares are left empty.
ExplainStep explain(const Plan& plan, const ExplainSizes& sizes);

/// Fills in times by launch (empty: none were taken), and what follows from them: shares of the devices'
/// limits, sums, totals, the error of the prediction.
void add_times(ExplainStep& step, std::span<const double> launch_us, std::span<const ExplainDevice> devices);

}  // namespace ingot::exec
