// How large steps may become, and the maxima that plans are compiled for: known before anything is allocated.
#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "graph/dim.h"

namespace ingot::serve {

struct StepperLimits {
  int64_t sequences = 1;       // of one step, and rows of token counts
  int64_t context = 0;         // tokens of the longest sequence
  int64_t prefill_tokens = 0;  // tokens of one prefill step, all sequences together
  int64_t cache_tokens = 0;    // of all sequences together; 0: sequences x context
  int64_t prefill_rows = 0;    // rows that a prefill step gives logits for; 0: one a sequence
};

/// The limits with what follows from others filled in.
StepperLimits complete(StepperLimits limits);

/// Pages of the cache beside page 0, for complete limits.
int64_t cache_pages(const StepperLimits& limits);

/// The largest step of a class, for complete limits.
graph::DimValues step_bucket(const StepperLimits& limits, backend::StepClass step);

}  // namespace ingot::serve
