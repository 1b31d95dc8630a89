// Random graphs over inputs x and y, f32 [T, kWidth], for tests of plans.
#pragma once

#include <fmt/format.h>

#include <random>
#include <vector>

#include "graph/graph.h"
#include "graph/ops/add.h"
#include "graph/ops/concat.h"
#include "graph/ops/mul.h"
#include "graph/ops/reshape.h"
#include "graph/ops/slice.h"
#include "graph/ops/transpose.h"

namespace ingot::exec {

using graph::Graph;
using graph::Symbol;
using graph::TensorType;
using graph::Value;

inline constexpr int64_t kWidth = 12;

/// A graph of ops that move, add or multiply: no rounding differs between kernel and reference. Every op is a
/// layer of its own, for placing by hand.
inline Graph random_graph(std::mt19937& random) {
  Graph g;
  std::vector<Value> rows;  // of type f32 [T, kWidth]
  const TensorType type{DType::f32, {Symbol::tokens, kWidth}};
  const auto any = [&] { return rows[random() % rows.size()]; };
  rows.push_back(g.input("x", type));
  rows.push_back(g.input("y", type));
  Array w = Array::empty(DType::f32, {kWidth});
  for (int64_t i = 0; i < kWidth; ++i) w.mutable_data<float>()[i] = 0.5F + static_cast<float>(i) / 16;
  const Value weight = g.weight("w", w);
  const size_t ops = 3 + random() % 25;
  for (size_t i = 0; i < ops; ++i) {
    g.set_layer(static_cast<int32_t>(i));
    switch (random() % 8) {
      case 0:
        rows.push_back(add(g, any(), any()));
        break;
      case 1:
        rows.push_back(mul(g, any(), weight));
        break;
      case 2:
        rows.push_back(add(g, any(), weight));
        break;
      case 3: {
        const Value heads = reshape(g, any(), {Symbol::tokens, 3, 4});
        rows.push_back(
            reshape(g, add(g, heads, reshape(g, any(), {Symbol::tokens, 3, 4})), {Symbol::tokens, kWidth}));
        break;
      }
      case 4:
        rows.push_back(reshape(g, any(), {Symbol::tokens, kWidth}));
        break;
      case 5:
        rows.push_back(concat(g, {slice(g, any(), 1, 0, 5), slice(g, any(), 1, 3, 10)}, 1));
        break;
      case 6:
        rows.push_back(transpose(g, transpose(g, any(), {1, 0}), {1, 0}));
        break;
      default:
        rows.push_back(mul(g, add(g, any(), any()), weight));
        break;
    }
    if (random() % 6 == 0) g.output(fmt::format("early {}", i), rows.back());
  }
  g.output("last", rows.back());
  return g;
}

}  // namespace ingot::exec
