// NormPrologue: the norm that a fused linear applies to its input before it multiplies.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

struct NormPrologue {
  enum class Kind : uint8_t { none, rms, layer };
  Kind kind = Kind::none;
  float eps = 0;

  /// Inputs it brings: its weight, and for layer_norm its bias.
  int inputs() const { return kind == Kind::none ? 0 : kind == Kind::rms ? 1 : 2; }
  friend bool operator==(const NormPrologue&, const NormPrologue&) = default;
};

/// The norm that an op is; kind none for any other op.
NormPrologue norm_of(const Op& op);
/// Appends it; `parameters`: its inputs(). None: x itself.
Value append_norm(Graph& graph, Value x, std::span<const Value> parameters, const NormPrologue& norm);
/// "rms_norm eps=1e-05", or nothing.
std::string to_string(const NormPrologue& norm);

}  // namespace ingot::graph
