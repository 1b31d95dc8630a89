// The passes, each defined in a file of its name, and their order (passes.cc).
#pragma once

#include <span>
#include <string_view>

#include "fuse/rewriter.h"

namespace ingot::fuse {

struct Pass {
  std::string_view name;
  std::string_view summary;
  void (*run)(Rewriter& rewriter);
};

/// In the order they run. dead_nodes stands twice.
std::span<const Pass> passes();

void common_subexpressions(Rewriter& rewriter);
void dead_nodes(Rewriter& rewriter);
void glu(Rewriter& rewriter);
void linear_activation(Rewriter& rewriter);
void linear_add(Rewriter& rewriter);
void linear_group(Rewriter& rewriter);
void norm_prologue(Rewriter& rewriter);
void pointwise_chain(Rewriter& rewriter);
void qkv(Rewriter& rewriter);
void residual_add(Rewriter& rewriter);

}  // namespace ingot::fuse
