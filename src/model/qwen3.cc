// Qwen3, dense (Yang et al., 2025): a Llama that normalises each query and key head before rotating it.
#include "model/blocks.h"

namespace ingot::model {
namespace {

class Qwen3 final : public Architecture {
 public:
  explicit Qwen3(const format::Config& config) : decoder_(read_decoder_config(config, dimensions_)) {
    // Qwen3 widens its heads: without the key they have 128 dimensions, whatever the hidden size.
    if (!config.has("head_dim")) dimensions_.head_dim = decoder_.rotary_dims = 128;
    decoder_.qk_norm = true;
    decoder_.qkv_bias = decoder_.o_bias = config.get_bool_or("attention_bias", false);
    decoder_.windows = read_qwen_windows(config, dimensions_.layers);
  }

  std::string_view name() const override { return "qwen3"; }
  std::vector<std::string> notes() const override { return decoder_notes(decoder_); }
  void build(ModelBuilder& builder, bool sample) const override { build_decoder(builder, decoder_, sample); }

 private:
  DecoderConfig decoder_;
};

}  // namespace

std::unique_ptr<Architecture> make_qwen3(const format::Checkpoint& checkpoint) {
  return std::make_unique<Qwen3>(checkpoint.config());
}

}  // namespace ingot::model
