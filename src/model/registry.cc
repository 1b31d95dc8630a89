#include <fmt/ranges.h>

#include "base/check.h"
#include "model/architecture.h"

namespace ingot::model {
namespace {

constexpr ArchitectureEntry kArchitectures[] = {
    {"gpt2", "GPT-2", make_gpt2},           {"llama", "Llama 2, Llama 3, SmolLM", make_llama},
    {"mistral", "Mistral", make_llama},     {"qwen2", "Qwen2, Qwen2.5", make_qwen2},
    {"qwen3", "Qwen3 (dense)", make_qwen3},
};

std::string supported() {
  std::string text;
  for (const ArchitectureEntry& entry : kArchitectures) {
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", entry.model_type, entry.models);
  }
  return text;
}

/// Options of any family that change what a model computes and that Ingot does not have.
void refuse_options(const format::Config& config) {
  if (config.has("quantization_config")) {
    fail(ErrorCode::unsupported,
         "{}: key 'quantization_config': quantised checkpoints are not supported; f32, f16 "
         "and bf16 safetensors are",
         config.file());
  }
  for (const std::string_view flag : {"add_cross_attention", "is_encoder_decoder"}) {
    if (config.get_bool_or(flag, false)) {
      fail(ErrorCode::unsupported,
           "{}: key '{}': expected false (decoder-only models are supported), found true", config.file(),
           flag);
    }
  }
}

}  // namespace

std::span<const ArchitectureEntry> architectures() {
  return kArchitectures;
}

std::unique_ptr<Architecture> make_architecture(const format::Checkpoint& checkpoint) {
  const format::Config& config = checkpoint.config();
  const std::string model_type = config.get_string("model_type");
  for (const ArchitectureEntry& entry : kArchitectures) {
    if (entry.model_type != model_type) continue;
    refuse_options(config);
    return entry.make(checkpoint);
  }
  fail(ErrorCode::unsupported, "{}: key 'model_type': '{}' is not supported; supported are {}", config.file(),
       model_type, supported());
}

}  // namespace ingot::model
