// Which class of kernels a node of a step takes.
#pragma once

#include "backend/backend.h"
#include "graph/graph.h"

namespace ingot::exec {

/// The step's own, but for the rows that get logits where each sequence has one at most: these few take the
/// kernels of generated tokens after a prompt too, which read weights as fast as memory gives them. It
/// depends on the bucket alone, so that a row meets the same kernel in every step of its class.
inline backend::StepClass kernel_step(backend::StepClass step, const graph::TensorType& output,
                                      const graph::DimValues& bucket) {
  using graph::Symbol;
  const bool is_of_logit_rows = output.rank() > 0 && output.dim(0) == graph::Dim(Symbol::logit_rows);
  const bool are_few = bucket[Symbol::logit_rows] <= bucket[Symbol::sequences];
  return is_of_logit_rows && are_few ? backend::StepClass::decode : step;
}

}  // namespace ingot::exec
