// What GGUF and Hugging Face call the same things, architecture by architecture; reads in both directions.
//
// Constant tables, thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ingot::format {

/// Rows of heads that an architecture with `neighbour_rows` stores in another order (gguf_rows.h).
enum class HeadRows : uint8_t { none, queries, keys };

/// A tensor's names without their last part (".weight", ".bias"); "{}" stands for the layer.
struct GgufTensorName {
  std::string_view gguf;  // "blk.{}.attn_q"
  std::string_view hf;    // "model.layers.{}.self_attn.q_proj"
  HeadRows rows = HeadRows::none;
};

/// A number of the model's config.
struct GgufConfigKey {
  enum class Kind : uint8_t { integer, real };
  std::string_view gguf;  // without the architecture in front: "attention.head_count"
  std::string_view hf;    // "num_attention_heads"
  Kind kind = Kind::integer;
  bool is_required = true;  // of a GGUF file
};

struct GgufArchitecture {
  std::string_view name;  // general.architecture
  std::span<const GgufTensorName> tensors;
  std::span<const GgufConfigKey> keys;
  bool neighbour_rows = false;
};

std::span<const GgufArchitecture> gguf_architectures();
/// Null where there is none of this name.
const GgufArchitecture* find_gguf_architecture(std::string_view name);
/// The architecture that holds models of config.json's `model_type`; null where none does.
const GgufArchitecture* gguf_architecture_of(std::string_view model_type);

struct TranslatedName {
  std::string name;
  HeadRows rows = HeadRows::none;
};
/// "blk.3.attn_q.weight" to "model.layers.3.self_attn.q_proj.weight"; nothing for a name without a
/// counterpart.
std::optional<TranslatedName> hf_tensor_name(const GgufArchitecture& architecture, std::string_view gguf);
/// And back. Names of GPT-2 may begin with "transformer.", as some checkpoints have it.
std::optional<TranslatedName> gguf_tensor_name(const GgufArchitecture& architecture, std::string_view hf);

}  // namespace ingot::format
