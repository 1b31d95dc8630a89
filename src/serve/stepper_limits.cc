#include "serve/stepper_limits.h"

#include "base/check.h"
#include "kv/page_layout.h"

namespace ingot::serve {

using graph::Symbol;

StepperLimits complete(StepperLimits limits) {
  INGOT_CHECK(limits.sequences > 0 && limits.context > 0 && limits.prefill_tokens > 0,
              "a stepper for {} sequences of {} tokens, {} a prefill step", limits.sequences, limits.context,
              limits.prefill_tokens);
  if (limits.cache_tokens == 0) {
    limits.cache_tokens = limits.sequences * kv::pages_for(limits.context) * kv::kPageTokens;
  }
  if (limits.prefill_rows == 0) limits.prefill_rows = limits.sequences;
  return limits;
}

int64_t cache_pages(const StepperLimits& limits) {
  return limits.cache_tokens / kv::kPageTokens;
}

graph::DimValues step_bucket(const StepperLimits& limits, backend::StepClass step) {
  graph::DimValues dims;
  const bool decode = step == backend::StepClass::decode;
  dims[Symbol::tokens] = decode ? limits.sequences : limits.prefill_tokens;
  dims[Symbol::sequences] = limits.sequences;
  dims[Symbol::pages] = kv::pages_for(limits.context);
  dims[Symbol::logit_rows] = decode ? limits.sequences : limits.prefill_rows;
  dims[Symbol::cache_pages] = cache_pages(limits) + 1;  // and page 0
  dims[Symbol::slots] = limits.sequences;
  return dims;
}

}  // namespace ingot::serve
