#include "api/quantize_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "base/check.h"
#include "model/blocks.h"

namespace ingot::api {
namespace {

using format::Config;
using format::GgufWriter;
using format::RopeConfig;

[[noreturn]] void unsupported(const Config& config, std::string_view key, std::string_view what) {
  fail(ErrorCode::unsupported, "{}: key '{}': GGUF cannot express {}", config.file(), key, what);
}

void check_gpt2(const Config& config) {
  const std::string activation = config.get_string_or("activation_function", "gelu_new");
  if (activation == "gelu") unsupported(config, "activation_function", "'gelu' for gpt2; it means gelu_new");
  if (!config.get_bool_or("scale_attn_weights", true)) unsupported(config, "scale_attn_weights", "false");
  if (config.get_bool_or("scale_attn_by_inverse_layer_idx", false)) {
    unsupported(config, "scale_attn_by_inverse_layer_idx", "true");
  }
}

void check_rope(const Config& config, const RopeConfig& rope, const format::GgufArchitecture& architecture) {
  if (rope.partial_rotary_factor != 1 && architecture.neighbour_rows) {
    unsupported(config, "partial_rotary_factor", "heads of which a part rotates for this architecture");
  }
  if (rope.kind == RopeConfig::Kind::llama3 && architecture.name != "llama") {
    unsupported(config, "rope_scaling",
                fmt::format("llama3's scaling for architecture {}", architecture.name));
  }
  if (rope.kind == RopeConfig::Kind::yarn && !rope.truncate) {
    unsupported(config, "rope_scaling", "yarn with truncate false");
  }
}

/// The sliding window of each layer, as the model reads it; 0: none.
std::vector<int64_t> read_windows(const Config& config, int64_t layers) {
  const std::string type = config.get_string("model_type");
  if (type == "qwen2" || type == "qwen3") return model::read_qwen_windows(config, layers);
  std::vector<int64_t> windows(static_cast<size_t>(layers), 0);
  if (type != "mistral") return windows;
  const auto keys = config.keys();
  const bool is_named = std::find(keys.begin(), keys.end(), "sliding_window") != keys.end();
  if (is_named && !config.has("sliding_window")) return windows;  // null
  std::fill(windows.begin(), windows.end(), config.get_int_or("sliding_window", 4096, 1, int64_t{1} << 30));
  return windows;
}

class MetadataWriter {
 public:
  MetadataWriter(const model::Model& model, const format::GgufArchitecture& architecture, GgufWriter& writer)
      : config_(model.checkpoint().config()),
        generation_(model.checkpoint().generation_config()),
        dimensions_(model.dimensions()),
        architecture_(architecture),
        writer_(writer) {}

  void write(const std::string& folder) {
    writer_.string("general.architecture", architecture_.name);
    writer_.string("general.type", "model");
    const std::string name = std::filesystem::weakly_canonical(folder).filename().string();
    if (!name.empty()) writer_.string("general.name", name);
    integer("vocab_size", dimensions_.vocab);
    integer("context_length", dimensions_.max_positions);
    integer("embedding_length", dimensions_.hidden);
    integer("block_count", dimensions_.layers);
    integer("attention.head_count", dimensions_.heads);
    if (architecture_.name == "gpt2") {
      write_gpt2();
    } else {
      write_decoder();
    }
    write_sampling();
  }

 private:
  std::string key(std::string_view suffix) const { return fmt::format("{}.{}", architecture_.name, suffix); }
  void integer(std::string_view suffix, int64_t value) {
    writer_.number(key(suffix), static_cast<uint32_t>(value));
  }
  void real(std::string_view suffix, double value) { writer_.number(key(suffix), static_cast<float>(value)); }

  void write_gpt2() {
    integer("feed_forward_length", config_.get_int_or("n_inner", 4 * dimensions_.hidden, 1, INT32_MAX));
    real("attention.layer_norm_epsilon", config_.get_double_or("layer_norm_epsilon", 1e-5, 0, 1));
  }

  void write_decoder() {
    integer("feed_forward_length", config_.get_int("intermediate_size", 1, INT32_MAX));
    integer("attention.head_count_kv", dimensions_.kv_heads);
    integer("attention.key_length", dimensions_.head_dim);
    integer("attention.value_length", dimensions_.head_dim);
    real("attention.layer_norm_rms_epsilon", config_.get_double_or("rms_norm_eps", 1e-6, 0, 1));
    write_windows();
    write_rope(format::read_rope_config(config_));
  }

  void write_windows() {
    const std::vector<int64_t> windows = read_windows(config_, dimensions_.layers);
    const int64_t window = *std::max_element(windows.begin(), windows.end());
    if (window == 0) return;
    integer("attention.sliding_window", window);
    std::vector<bool> slides;
    for (const int64_t of_layer : windows) slides.push_back(of_layer != 0);
    const bool all = std::find(slides.begin(), slides.end(), false) == slides.end();
    if (!all) writer_.booleans(key("attention.sliding_window_pattern"), slides);
  }

  void write_rope(const RopeConfig& rope) {
    const auto rotary =
        static_cast<int64_t>(static_cast<double>(dimensions_.head_dim) * rope.partial_rotary_factor);
    integer("rope.dimension_count", rotary);
    real("rope.freq_base", rope.theta);
    if (rope.kind != RopeConfig::Kind::linear && rope.kind != RopeConfig::Kind::yarn) return;
    writer_.string(key("rope.scaling.type"), to_string(rope.kind));
    real("rope.scaling.factor", rope.factor);
    if (rope.kind == RopeConfig::Kind::linear) return;
    integer("rope.scaling.original_context_length", rope.original_max_position);
    if (rope.beta_fast != 32) real("rope.scaling.yarn_beta_fast", rope.beta_fast);
    if (rope.beta_slow != 1) real("rope.scaling.yarn_beta_slow", rope.beta_slow);
    // Readers multiply by yarn's own factor (its paper, section 3.4).
    const double attention = rope.attention_scale() / (1 + 0.1 * std::log(rope.factor));
    if (std::fabs(attention - 1) > 1e-9) real("rope.scaling.attn_factor", attention);
  }

  void write_sampling() {
    if (!generation_.get_bool_or("do_sample", false)) return;
    const auto copy = [&](std::string_view from, std::string_view to, double max) {
      const auto value = generation_.optional_double(from, 0, max);
      if (value) writer_.number(fmt::format("general.sampling.{}", to), static_cast<float>(*value));
    };
    const auto top_k = generation_.optional_int("top_k", 0, INT32_MAX);
    if (top_k) writer_.number("general.sampling.top_k", static_cast<int32_t>(*top_k));
    copy("top_p", "top_p", 1);
    copy("min_p", "min_p", 1);
    // Written always: that there is a temperature says that the model samples.
    writer_.number("general.sampling.temp",
                   static_cast<float>(generation_.get_double_or("temperature", 1, 0, 1e6)));
    copy("repetition_penalty", "penalty_repeat", 1e6);
  }

  const Config& config_;
  const Config& generation_;
  const model::Dimensions& dimensions_;
  const format::GgufArchitecture& architecture_;
  GgufWriter& writer_;
};

}  // namespace

void check_expressible(const model::Model& model, const format::GgufArchitecture& architecture) {
  const Config& config = model.checkpoint().config();
  if (architecture.name == "gpt2") {
    check_gpt2(config);
    return;
  }
  check_rope(config, format::read_rope_config(config), architecture);
  const std::vector<int64_t> windows = read_windows(config, model.dimensions().layers);
  const int64_t most = *std::max_element(windows.begin(), windows.end());
  if (std::any_of(windows.begin(), windows.end(), [&](int64_t w) { return w != 0 && w != most; })) {
    unsupported(config, "sliding_window", "windows of several widths");
  }
}

void write_model_metadata(const model::Model& model, const format::GgufArchitecture& architecture,
                          GgufWriter& writer) {
  MetadataWriter(model, architecture, writer).write(model.checkpoint().path());
}

std::vector<std::string> metadata_notes(const model::Model& model) {
  const Config& generation = model.checkpoint().generation_config();
  if (!generation.has("max_new_tokens")) return {};
  return {"GGUF cannot say how many tokens to write at most (max_new_tokens of generation_config.json)"};
}

std::vector<float> rope_divisors(const RopeConfig& rope, int64_t rotary_dims) {
  std::vector<float> divisors;
  const auto original = static_cast<double>(rope.original_max_position);
  for (int64_t pair = 0; pair < rotary_dims / 2; ++pair) {
    const double frequency =
        std::pow(rope.theta, -2.0 * static_cast<double>(pair) / static_cast<double>(rotary_dims));
    const double turns = original * frequency / (2 * std::numbers::pi);  // over the original context
    double divisor = 1;
    if (turns < rope.low_freq_factor) {
      divisor = rope.factor;
    } else if (turns <= rope.high_freq_factor) {
      const double smooth = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      divisor = 1 / ((1 - smooth) / rope.factor + smooth);
    }
    divisors.push_back(static_cast<float>(divisor));
  }
  return divisors;
}

}  // namespace ingot::api
