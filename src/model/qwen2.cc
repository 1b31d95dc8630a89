// Qwen2 and Qwen2.5 (Yang et al., 2024): a Llama with biases on queries, keys and values.
#include "model/blocks.h"

namespace ingot::model {
namespace {

class Qwen2 final : public Architecture {
 public:
  explicit Qwen2(const format::Config& config) : decoder_(read_decoder_config(config, dimensions_)) {
    decoder_.qkv_bias = true;
    decoder_.windows = read_qwen_windows(config, dimensions_.layers);
  }

  std::string_view name() const override { return "qwen2"; }
  std::vector<std::string> notes() const override { return decoder_notes(decoder_); }
  void build(ModelBuilder& builder, bool sample) const override { build_decoder(builder, decoder_, sample); }

 private:
  DecoderConfig decoder_;
};

}  // namespace

std::unique_ptr<Architecture> make_qwen2(const format::Checkpoint& checkpoint) {
  return std::make_unique<Qwen2>(checkpoint.config());
}

}  // namespace ingot::model
