#include "model/blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "format/rope_config.h"
#include "graph/ops/add.h"
#include "graph/ops/embedding.h"
#include "graph/ops/mul.h"
#include "graph/ops/reshape.h"
#include "graph/ops/rms_norm.h"
#include "graph/ops/rope.h"
#include "graph/ops/silu.h"

namespace ingot::model {
namespace {

using format::Config;
using graph::RopeScaling;
using graph::Symbol;
using graph::Value;

constexpr int64_t kMaxWidth = int64_t{1} << 24;  // of any dimension: keeps products far from overflow

RopeScaling to_scaling(const format::RopeConfig& rope) {
  RopeScaling scaling;
  switch (rope.kind) {
    case format::RopeConfig::Kind::standard:
      scaling.kind = RopeScaling::Kind::none;
      break;
    case format::RopeConfig::Kind::linear:
      scaling.kind = RopeScaling::Kind::linear;
      break;
    case format::RopeConfig::Kind::llama3:
      scaling.kind = RopeScaling::Kind::llama3;
      break;
    case format::RopeConfig::Kind::yarn:
      scaling.kind = RopeScaling::Kind::yarn;
      break;
    case format::RopeConfig::Kind::divisors:
      scaling.kind = RopeScaling::Kind::divisors;
      break;
  }
  scaling.theta = rope.theta;
  scaling.factor = rope.factor;
  scaling.low_freq_factor = rope.low_freq_factor;
  scaling.high_freq_factor = rope.high_freq_factor;
  scaling.original_positions = rope.original_max_position;
  scaling.beta_fast = rope.beta_fast;
  scaling.beta_slow = rope.beta_slow;
  scaling.truncate = rope.truncate;
  scaling.attention_factor = rope.attention_scale();
  scaling.divisors = rope.divisors;
  return scaling;
}

/// [T, heads * head_dim] to normalised, rotated heads [T, heads, head_dim].
Value heads_of(ModelBuilder& b, const DecoderConfig& config, Value x, int64_t heads, const std::string& norm,
               Value table) {
  const int64_t head_dim = b.dimensions().head_dim;
  Value split = reshape(b.graph(), x, {Symbol::tokens, heads, head_dim});
  if (config.qk_norm)
    split = rms_norm(b.graph(), split, b.weight(norm + ".weight", {head_dim}), config.eps, norm);
  return rope(b.graph(), split, table, graph::RopeStyle::half);
}

Value attention_block(ModelBuilder& b, const DecoderConfig& config, int64_t layer, const std::string& prefix,
                      Value x, Value table) {
  const Dimensions& d = b.dimensions();
  const int64_t q_width = d.heads * d.head_dim;
  const int64_t kv_width = d.kv_heads * d.head_dim;
  const Value q = b.linear(x, prefix + ".q_proj", d.hidden, q_width, config.qkv_bias);
  const Value k = b.linear(x, prefix + ".k_proj", d.hidden, kv_width, config.qkv_bias);
  const Value v = b.linear(x, prefix + ".v_proj", d.hidden, kv_width, config.qkv_bias);
  const float scale = 1.0F / std::sqrt(static_cast<float>(d.head_dim));
  // Named, since compilers evaluate arguments in orders of their own, and nodes follow.
  const Value queries = heads_of(b, config, q, d.heads, prefix + ".q_norm", table);
  const Value keys = heads_of(b, config, k, d.kv_heads, prefix + ".k_norm", table);
  const Value values = reshape(b.graph(), v, {Symbol::tokens, d.kv_heads, d.head_dim});
  const Value mixed =
      b.cached_attention(layer, queries, keys, values, scale, config.windows[static_cast<size_t>(layer)]);
  return b.linear(mixed, prefix + ".o_proj", q_width, d.hidden, config.o_bias);
}

/// down(silu(gate(x)) * up(x)) (Shazeer, 2020).
Value swiglu(ModelBuilder& b, const DecoderConfig& config, const std::string& prefix, Value x) {
  const int64_t hidden = b.dimensions().hidden;
  const Value gate = b.linear(x, prefix + ".gate_proj", hidden, config.ffn, config.mlp_bias);
  const Value up = b.linear(x, prefix + ".up_proj", hidden, config.ffn, config.mlp_bias);
  const Value gated = mul(b.graph(), silu(b.graph(), gate), up);
  return b.linear(gated, prefix + ".down_proj", config.ffn, hidden, config.mlp_bias);
}

}  // namespace

DecoderConfig read_decoder_config(const Config& config, Dimensions& d) {
  DecoderConfig decoder;
  d.vocab = config.get_int("vocab_size", 1, kMaxWidth);
  d.hidden = config.get_int("hidden_size", 1, kMaxWidth);
  d.layers = config.get_int("num_hidden_layers", 1, 4096);
  d.heads = config.get_int("num_attention_heads", 1, 65536);
  d.kv_heads = config.get_int_or("num_key_value_heads", d.heads, 1, 65536);
  d.max_positions = config.get_int_or("max_position_embeddings", 2048, 1, int64_t{1} << 30);
  if (d.heads % d.kv_heads != 0) {
    config.refuse(
        "num_key_value_heads",
        fmt::format("expected a divisor of num_attention_heads ({}), found {}", d.heads, d.kv_heads));
  }
  if (const auto head_dim = config.optional_int("head_dim", 1, 65536)) {
    d.head_dim = *head_dim;
  } else {
    if (d.hidden % d.heads != 0) {
      config.refuse("num_attention_heads",
                    fmt::format("expected a divisor of hidden_size ({}), found {}", d.hidden, d.heads));
    }
    d.head_dim = d.hidden / d.heads;
  }
  decoder.ffn = config.get_int("intermediate_size", 1, kMaxWidth);
  decoder.eps = static_cast<float>(config.get_double_or("rms_norm_eps", 1e-6, 0, 1));
  decoder.tied = config.get_bool_or("tie_word_embeddings", false);
  const std::string activation = config.get_string_or("hidden_act", "silu");
  if (activation != "silu") {
    fail(ErrorCode::unsupported, "{}: key 'hidden_act': '{}' is not supported; supported is silu",
         config.file(), activation);
  }
  const format::RopeConfig rope = format::read_rope_config(config);
  decoder.rope = to_scaling(rope);
  decoder.rotary_dims = static_cast<int64_t>(static_cast<double>(d.head_dim) * rope.partial_rotary_factor);
  if (decoder.rotary_dims % 2 != 0 || decoder.rotary_dims == 0) {
    config.refuse("head_dim",
                  fmt::format("expected an even number of rotary dimensions, found {}", decoder.rotary_dims));
  }
  if (rope.kind == format::RopeConfig::Kind::divisors &&
      static_cast<int64_t>(rope.divisors.size()) != decoder.rotary_dims / 2) {
    config.refuse("rope_scaling",
                  fmt::format("expected {} divisors, one for each pair of dimensions, found {}",
                              decoder.rotary_dims / 2, rope.divisors.size()));
  }
  decoder.windows.assign(static_cast<size_t>(d.layers), 0);
  return decoder;
}

std::vector<int64_t> read_qwen_windows(const Config& config, int64_t layers) {
  std::vector<int64_t> windows(static_cast<size_t>(layers), 0);
  const bool used = config.get_bool_or("use_sliding_window", false);
  const int64_t window = used ? config.get_int_or("sliding_window", 4096, 1, int64_t{1} << 30) : 0;
  const std::vector<std::string> types = config.get_string_list("layer_types");
  if (!types.empty() && types.size() != windows.size()) {
    config.refuse("layer_types",
                  fmt::format("expected {} entries, one a layer, found {}", layers, types.size()));
  }
  const int64_t full_layers = config.get_int_or("max_window_layers", 28, 0, int64_t{1} << 30);
  for (size_t layer = 0; layer < windows.size(); ++layer) {
    bool sliding = used && static_cast<int64_t>(layer) >= full_layers;
    if (!types.empty()) {
      if (types[layer] != "full_attention" && types[layer] != "sliding_attention") {
        fail(ErrorCode::unsupported,
             "{}: key 'layer_types': '{}' is not supported; supported are full_attention, sliding_attention",
             config.file(), types[layer]);
      }
      sliding = types[layer] == "sliding_attention";
      if (sliding && window == 0) {
        config.refuse("layer_types", "names sliding_attention, but use_sliding_window is false");
      }
    }
    if (sliding) windows[layer] = window;
  }
  return windows;
}

void build_decoder(ModelBuilder& b, const DecoderConfig& config, bool sample) {
  const Dimensions& d = b.dimensions();
  graph::Graph& g = b.graph();
  const Value embeddings = b.weight("model.embed_tokens.weight", {d.vocab, d.hidden});
  Value x = embedding(g, b.tokens(), embeddings, "embed_tokens");
  const Value table = rope_table(g, b.positions(), config.rope, config.rotary_dims);
  for (int64_t layer = 0; layer < d.layers; ++layer) {
    g.set_layer(static_cast<int32_t>(layer));
    const std::string prefix = fmt::format("model.layers.{}", layer);
    const auto norm = [&](Value value, const std::string& name) {
      return rms_norm(g, value, b.weight(prefix + name + ".weight", {d.hidden}), config.eps, prefix + name);
    };
    x = add(g, x,
            attention_block(b, config, layer, prefix + ".self_attn", norm(x, ".input_layernorm"), table));
    x = add(g, x, swiglu(b, config, prefix + ".mlp", norm(x, ".post_attention_layernorm")));
    b.weights().ignore(prefix + ".self_attn.rotary_emb.inv_freq");  // a buffer of old checkpoints
  }
  g.set_layer(graph::kNoLayer);
  const Value rows = b.logit_rows(x);
  x = rms_norm(g, rows, b.weight("model.norm.weight", {d.hidden}), config.eps, "model.norm");
  if (config.tied) b.weights().ignore("lm_head.weight");  // some checkpoints store the tied copy
  b.head(x, config.tied ? embeddings : b.weight("lm_head.weight", {d.vocab, d.hidden}), sample);
}

std::vector<std::string> decoder_notes(const DecoderConfig& config) {
  std::vector<std::string> notes;
  switch (config.rope.kind) {
    case RopeScaling::Kind::none:
      break;
    case RopeScaling::Kind::linear:
      notes.push_back(fmt::format("rope linear x{}", config.rope.factor));
      break;
    case RopeScaling::Kind::llama3:
      notes.push_back(fmt::format("rope llama3 x{}", config.rope.factor));
      break;
    case RopeScaling::Kind::yarn:
      notes.push_back(fmt::format("rope yarn x{}", config.rope.factor));
      break;
    case RopeScaling::Kind::divisors:
      notes.push_back(fmt::format("rope divided by up to {}", *std::max_element(config.rope.divisors.begin(),
                                                                                config.rope.divisors.end())));
      break;
  }
  const auto sliding =
      std::count_if(config.windows.begin(), config.windows.end(), [](int64_t w) { return w > 0; });
  if (sliding > 0) {
    const int64_t window = *std::max_element(config.windows.begin(), config.windows.end());
    notes.push_back(
        fmt::format("sliding window {} in {} of {} layers", window, sliding, config.windows.size()));
  }
  notes.emplace_back(config.tied ? "tied embeddings" : "untied embeddings");
  return notes;
}

}  // namespace ingot::model
