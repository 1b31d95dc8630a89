// Llama 2 and 3 (Touvron et al., 2023; Grattafiori et al., 2024), SmolLM, and Mistral (Jiang et al., 2023),
// which is a Llama with a sliding window.
#include <algorithm>

#include "model/blocks.h"

namespace ingot::model {
namespace {

class Llama final : public Architecture {
 public:
  explicit Llama(const format::Config& config)
      : is_mistral_(config.get_string("model_type") == "mistral"),
        decoder_(read_decoder_config(config, dimensions_)) {
    if (is_mistral_) {
      read_window(config);
    } else {
      decoder_.qkv_bias = decoder_.o_bias = config.get_bool_or("attention_bias", false);
      decoder_.mlp_bias = config.get_bool_or("mlp_bias", false);
    }
  }

  std::string_view name() const override { return is_mistral_ ? "mistral" : "llama"; }
  std::vector<std::string> notes() const override { return decoder_notes(decoder_); }
  void build(ModelBuilder& builder, bool sample) const override { build_decoder(builder, decoder_, sample); }

 private:
  /// null: no window; absent: 4096, the default of MistralConfig.
  void read_window(const format::Config& config) {
    const std::vector<std::string> keys = config.keys();
    const bool is_null =
        std::find(keys.begin(), keys.end(), "sliding_window") != keys.end() && !config.has("sliding_window");
    if (is_null) return;
    const int64_t window = config.get_int_or("sliding_window", 4096, 1, int64_t{1} << 30);
    std::fill(decoder_.windows.begin(), decoder_.windows.end(), window);
  }

  bool is_mistral_;
  DecoderConfig decoder_;
};

}  // namespace

std::unique_ptr<Architecture> make_llama(const format::Checkpoint& checkpoint) {
  return std::make_unique<Llama>(checkpoint.config());
}

}  // namespace ingot::model
