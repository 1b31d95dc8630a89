// rope_table: cosines and sines of the rotary angles of each token, computed once a step for all layers.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace ingot::graph {

/// Rotary frequencies and how they are stretched for longer contexts.
struct RopeScaling {
  enum class Kind : uint8_t {
    none,      // RoFormer (Su et al., 2021)
    linear,    // positions divided by factor (Chen et al., 2023)
    llama3,    // low frequencies divided by factor, high ones kept, a ramp between (Llama 3.1)
    yarn,      // ramp over dimensions and scaled attention (Peng et al., 2023)
    divisors,  // each pair's frequency divided by a number of its own
  };
  Kind kind = Kind::none;
  double theta = 10000;
  double factor = 1;
  double low_freq_factor = 1;        // llama3
  double high_freq_factor = 4;       // llama3
  int64_t original_positions = 0;    // llama3, yarn: context length of the original training
  double beta_fast = 32;             // yarn
  double beta_slow = 1;              // yarn
  bool truncate = true;              // yarn: round the ramp's ends to whole dimensions
  double attention_factor = 1;       // yarn: cosines and sines are multiplied by it
  std::vector<float> divisors = {};  // divisors: [rotary_dims / 2]
};

/// The frequency of each pair of dimensions, [rotary_dims / 2], in radians a position. Errors:
/// invalid_argument for an odd or non-positive rotary_dims, or another number of divisors.
std::vector<float> rope_frequencies(const RopeScaling& scaling, int64_t rotary_dims);

class RopeTableOp final : public Op {
 public:
  RopeTableOp(const RopeScaling& scaling, int64_t rotary_dims);
  std::span<const float> frequencies() const { return frequencies_; }
  float attention_factor() const { return static_cast<float>(scaling_.attention_factor); }
  std::string_view name() const override { return "rope_table"; }
  std::string attributes() const override;
  TensorType infer(std::span<const TensorType> inputs) const override;
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const override;

 private:
  RopeScaling scaling_;
  std::vector<float> frequencies_;
};

/// positions: i32 [T]. Returns f32 [T, rotary_dims]: the cosines, then the sines.
/// Errors: those of rope_frequencies.
Value rope_table(Graph& graph, Value positions, const RopeScaling& scaling, int64_t rotary_dims,
                 std::string label = {});

}  // namespace ingot::graph
