#include "graph/ops/norm_prologue.h"

#include <fmt/format.h>

#include "graph/ops/layer_norm.h"
#include "graph/ops/rms_norm.h"

namespace ingot::graph {

NormPrologue norm_of(const Op& op) {
  if (op.name() == "rms_norm")
    return {.kind = NormPrologue::Kind::rms, .eps = static_cast<const RmsNormOp&>(op).eps()};
  if (op.name() == "layer_norm")
    return {.kind = NormPrologue::Kind::layer, .eps = static_cast<const LayerNormOp&>(op).eps()};
  return {};
}

Value append_norm(Graph& graph, Value x, std::span<const Value> parameters, const NormPrologue& norm) {
  switch (norm.kind) {
    case NormPrologue::Kind::none:
      return x;
    case NormPrologue::Kind::rms:
      return rms_norm(graph, x, parameters[0], norm.eps);
    case NormPrologue::Kind::layer:
      return layer_norm(graph, x, parameters[0], parameters[1], norm.eps);
  }
  return x;
}

std::string to_string(const NormPrologue& norm) {
  if (norm.kind == NormPrologue::Kind::none) return {};
  return fmt::format("{} eps={}", norm.kind == NormPrologue::Kind::rms ? "rms_norm" : "layer_norm", norm.eps);
}

}  // namespace ingot::graph
