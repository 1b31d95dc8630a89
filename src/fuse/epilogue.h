// What the passes share that move a linear's only reader into the linear.
#pragma once

#include "fuse/rewriter.h"
#include "graph/ops/linear_fused.h"

namespace ingot::fuse {

/// A linear, fused or not, with one output that nobody but `reader` reads.
struct LinearBefore {
  graph::Value value;
  graph::LinearForm form;
  std::vector<graph::Value> inputs;
};

/// The linear that gives `input` of `reader`, if it may take the reader in.
std::optional<LinearBefore> linear_before(const Rewriter& rewriter, graph::Value input);

/// Replaces the linear and its reader by one op of this form; `operand` is what the reader brings.
bool absorb(Rewriter& rewriter, const LinearBefore& linear, graph::Value reader, graph::LinearForm form,
            std::optional<graph::Value> operand);

}  // namespace ingot::fuse
