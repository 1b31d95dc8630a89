// The parts that the Llama-like families share: their common config keys, grouped-query attention with rotary
// positions, and the gated feed-forward layer.
#pragma once

#include <string>
#include <vector>

#include "graph/ops/rope_table.h"
#include "model/architecture.h"

namespace ingot::model {

/// Options of a decoder with rms_norm, rotary positions and SwiGLU.
struct DecoderConfig {
  int64_t ffn = 0;  // width of the feed-forward layer
  float eps = 1e-6F;
  bool tied = false;  // the head is the embedding
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;  // rms_norm of each query and key head (Qwen3)
  graph::RopeScaling rope;
  int64_t rotary_dims = 0;
  std::vector<int64_t> windows;  // by layer; 0: attention sees all positions
};

/// Reads the keys that all Llama-like configs share, and fills `dimensions`. Errors: invalid_file,
/// unsupported.
DecoderConfig read_decoder_config(const format::Config& config, Dimensions& dimensions);

/// Sliding windows by layer for Qwen's keys: use_sliding_window, sliding_window, max_window_layers,
/// layer_types.
std::vector<int64_t> read_qwen_windows(const format::Config& config, int64_t layers);

/// The whole decoder under Hugging Face's names "model.layers.N.…".
void build_decoder(ModelBuilder& builder, const DecoderConfig& config, bool sample);

std::vector<std::string> decoder_notes(const DecoderConfig& config);

}  // namespace ingot::model
