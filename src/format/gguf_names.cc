#include "format/gguf_names.h"

#include <algorithm>
#include <array>

namespace ingot::format {
namespace {

using Kind = GgufConfigKey::Kind;

constexpr GgufTensorName kDecoderTensors[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
    {"blk.{}.attn_norm", "model.layers.{}.input_layernorm"},
    {"blk.{}.attn_q", "model.layers.{}.self_attn.q_proj", HeadRows::queries},
    {"blk.{}.attn_k", "model.layers.{}.self_attn.k_proj", HeadRows::keys},
    {"blk.{}.attn_v", "model.layers.{}.self_attn.v_proj"},
    {"blk.{}.attn_output", "model.layers.{}.self_attn.o_proj"},
    {"blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm"},
    {"blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm"},
    {"blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm"},
    {"blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj"},
    {"blk.{}.ffn_up", "model.layers.{}.mlp.up_proj"},
    {"blk.{}.ffn_down", "model.layers.{}.mlp.down_proj"},
};

constexpr GgufConfigKey kDecoderKeys[] = {
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"block_count", "num_hidden_layers"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads", Kind::integer, false},
    {"attention.key_length", "head_dim", Kind::integer, false},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", Kind::real},
    {"rope.freq_base", "rope_theta", Kind::real, false},
};

constexpr GgufTensorName kGpt2Tensors[] = {
    {"token_embd", "wte"},
    {"position_embd", "wpe"},
    {"output_norm", "ln_f"},
    {"output", "lm_head"},
    {"blk.{}.attn_norm", "h.{}.ln_1"},
    {"blk.{}.attn_qkv", "h.{}.attn.c_attn"},
    {"blk.{}.attn_output", "h.{}.attn.c_proj"},
    {"blk.{}.ffn_norm", "h.{}.ln_2"},
    {"blk.{}.ffn_up", "h.{}.mlp.c_fc"},
    {"blk.{}.ffn_down", "h.{}.mlp.c_proj"},
};

constexpr GgufConfigKey kGpt2Keys[] = {
    {"context_length", "n_positions"},  {"embedding_length", "n_embd"},
    {"block_count", "n_layer"},         {"feed_forward_length", "n_inner", Kind::integer, false},
    {"attention.head_count", "n_head"}, {"attention.layer_norm_epsilon", "layer_norm_epsilon", Kind::real},
};

constexpr GgufArchitecture kArchitectures[] = {
    {.name = "gpt2", .tensors = kGpt2Tensors, .keys = kGpt2Keys},
    {.name = "llama", .tensors = kDecoderTensors, .keys = kDecoderKeys, .neighbour_rows = true},
    {.name = "qwen2", .tensors = kDecoderTensors, .keys = kDecoderKeys},
    {.name = "qwen3", .tensors = kDecoderTensors, .keys = kDecoderKeys},
};

constexpr std::string_view kLayer = "{}";
constexpr std::string_view kGpt2Prefix = "transformer.";
constexpr size_t kMaxLayerDigits = 6;

/// The layer that stands in `name` where `pattern` has "{}", empty for a pattern without; nothing where they
/// do not match.
std::optional<std::string_view> match(std::string_view pattern, std::string_view name) {
  const size_t at = pattern.find(kLayer);
  if (at == std::string_view::npos) {
    if (name != pattern) return std::nullopt;
    return std::string_view();
  }
  const std::string_view before = pattern.substr(0, at);
  const std::string_view after = pattern.substr(at + kLayer.size());
  if (name.size() <= before.size() + after.size()) return std::nullopt;
  if (!name.starts_with(before) || !name.ends_with(after)) return std::nullopt;
  const std::string_view layer = name.substr(at, name.size() - before.size() - after.size());
  const bool is_number = layer.size() <= kMaxLayerDigits &&
                         layer.find_first_not_of("0123456789") == std::string_view::npos &&
                         (layer.size() == 1 || layer[0] != '0');
  return is_number ? std::optional(layer) : std::nullopt;
}

std::optional<TranslatedName> translate(const GgufArchitecture& architecture, std::string_view name,
                                        std::string_view GgufTensorName::*from,
                                        std::string_view GgufTensorName::*to) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view part = name.substr(dot);
  if (part != ".weight" && part != ".bias") return std::nullopt;
  for (const GgufTensorName& entry : architecture.tensors) {
    const auto layer = match(entry.*from, name.substr(0, dot));
    if (!layer) continue;
    std::string translated(entry.*to);
    if (const size_t at = translated.find(kLayer); at != std::string::npos) {
      translated.replace(at, kLayer.size(), *layer);
    }
    return TranslatedName{.name = translated.append(part), .rows = entry.rows};
  }
  return std::nullopt;
}

}  // namespace

std::span<const GgufArchitecture> gguf_architectures() {
  return kArchitectures;
}

const GgufArchitecture* find_gguf_architecture(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                                         [&](const GgufArchitecture& entry) { return entry.name == name; });
  return found == std::end(kArchitectures) ? nullptr : found;
}

const GgufArchitecture* gguf_architecture_of(std::string_view model_type) {
  return find_gguf_architecture(model_type == "mistral" ? "llama" : model_type);
}

std::optional<TranslatedName> hf_tensor_name(const GgufArchitecture& architecture, std::string_view gguf) {
  return translate(architecture, gguf, &GgufTensorName::gguf, &GgufTensorName::hf);
}

std::optional<TranslatedName> gguf_tensor_name(const GgufArchitecture& architecture, std::string_view hf) {
  if (architecture.name == "gpt2" && hf.starts_with(kGpt2Prefix)) hf.remove_prefix(kGpt2Prefix.size());
  return translate(architecture, hf, &GgufTensorName::hf, &GgufTensorName::gguf);
}

}  // namespace ingot::format
