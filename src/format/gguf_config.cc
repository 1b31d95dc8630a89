#include "format/gguf_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "format/json.h"

namespace ingot::format {
namespace {

using nlohmann::json;

constexpr int64_t kMaxInteger = int64_t{1} << 40;
constexpr double kMaxReal = 1e15;
constexpr double kMaxFactor = 1e6;
constexpr int64_t kQuantizationVersion = 2;  // of the block formats' layouts
constexpr std::string_view kRopeFreqs = "rope_freqs.weight";

// Keys behind the architecture's name that are read below or say nothing about the computation.
constexpr std::array<std::string_view, 20> kOtherKeys = {
    "vocab_size",
    "rope.dimension_count",
    "attention.head_count_kv",
    "attention.value_length",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.causal",
    "tensor_data_layout",
    "pooling_type",
    "expert_count",
    "expert_used_count",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
};

/// The decimal that an f32 stands for: 0.1F becomes 0.1.
double as_decimal(double value) {
  std::array<char, 64> text{};
  const auto written = std::to_chars(text.data(), text.data() + text.size(), static_cast<float>(value));
  double decimal = value;
  std::from_chars(text.data(), written.ptr, decimal);
  return decimal;
}

class Translator {
 public:
  Translator(const GgufMetadata& metadata, const GgufArchitecture& architecture,
             std::span<const Tensor> tensors)
      : metadata_(metadata), architecture_(architecture), tensors_(tensors) {}

  json translate() {
    refuse_unknown_keys();
    refuse_options();
    config_["model_type"] = architecture_.name;
    for (const GgufConfigKey& entry : architecture_.keys) read(entry);
    read_vocabulary();
    config_["tie_word_embeddings"] = find("output.weight") == nullptr;
    if (architecture_.name == "gpt2") {
      read_gpt2();
    } else {
      read_heads();
      read_biases();
      read_windows();
      read_rope();
    }
    return std::move(config_);
  }

 private:
  std::string key(std::string_view suffix) const { return fmt::format("{}.{}", architecture_.name, suffix); }
  bool has(std::string_view suffix) const { return metadata_.has(key(suffix)); }

  [[noreturn]] void unsupported(std::string_view suffix, std::string_view message) const {
    fail(ErrorCode::unsupported, "{}: key '{}': {}", metadata_.file(), printable(key(suffix)), message);
  }

  const Tensor* find(std::string_view name) const {
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [&](const Tensor& tensor) { return tensor.name == name; });
    return found == tensors_.end() ? nullptr : &*found;
  }

  std::optional<double> optional_real(std::string_view suffix, double min, double max) const {
    const auto value = metadata_.optional_double(key(suffix), min, max);
    if (!value || metadata_.type(key(suffix)).type != GgufType::f32) return value;
    return as_decimal(*value);
  }

  void read(const GgufConfigKey& entry) {
    const std::string name = key(entry.gguf);
    if (!entry.is_required && !metadata_.has(name)) return;
    if (entry.kind == GgufConfigKey::Kind::integer) {
      config_[entry.hf] = metadata_.get_int(name, 1, kMaxInteger);
    } else {
      metadata_.get_double(name, 0, kMaxReal);
      config_[entry.hf] = *optional_real(entry.gguf, 0, kMaxReal);
    }
  }

  void refuse_unknown_keys() const {
    const std::string prefix = key("");
    for (std::string_view name : metadata_.keys()) {
      if (!name.starts_with(prefix)) continue;
      const std::string_view suffix = name.substr(prefix.size());
      const bool is_known = std::find(kOtherKeys.begin(), kOtherKeys.end(), suffix) != kOtherKeys.end() ||
                            std::any_of(architecture_.keys.begin(), architecture_.keys.end(),
                                        [&](const GgufConfigKey& entry) { return entry.gguf == suffix; });
      if (!is_known) unsupported(suffix, "not known, and it may change what the model computes");
    }
  }

  /// Options that change what a model computes and that Ingot does not have.
  void refuse_options() const {
    for (const std::string_view suffix : {"expert_count", "expert_used_count"}) {
      if (metadata_.get_int_or(key(suffix), 0, 0, kMaxInteger) > 0) {
        unsupported(suffix, "mixtures of experts are not supported");
      }
    }
    if (!metadata_.get_bool_or(key("attention.causal"), true)) {
      unsupported("attention.causal", "expected true (decoder-only models are supported), found false");
    }
    constexpr std::string_view kLayout = "Meta AI original pth";
    const std::string_view layout = metadata_.get_string_or(key("tensor_data_layout"), kLayout);
    if (layout != kLayout) {
      unsupported("tensor_data_layout",
                  fmt::format("expected '{}', found '{}'", kLayout, printable(std::string(layout))));
    }
    if (metadata_.get_int_or(key("pooling_type"), 0, -1, kMaxInteger) > 0) {
      unsupported("pooling_type", "models that pool embeddings are not supported");
    }
    constexpr auto kVersion = "general.quantization_version";
    const int64_t version = metadata_.get_int_or(kVersion, kQuantizationVersion, 0, kMaxInteger);
    if (version != kQuantizationVersion) {
      fail(ErrorCode::unsupported, "{}: key '{}': expected {}, found {}", metadata_.file(), kVersion,
           kQuantizationVersion, version);
    }
  }

  void read_vocabulary() {
    const Tensor* embeddings = find("token_embd.weight");
    if (embeddings == nullptr) {
      fail(ErrorCode::not_found, "{}: tensor 'token_embd.weight' is missing (a file of a vocabulary only?)",
           metadata_.file());
    }
    const int64_t rows = embeddings->shape.front();
    const int64_t said = metadata_.get_int_or(key("vocab_size"), rows, 1, kMaxInteger);
    if (said != rows) {
      metadata_.refuse(key("vocab_size"),
                       fmt::format("expected {} as 'token_embd.weight' has rows, found {}", rows, said));
    }
    config_["vocab_size"] = rows;
  }

  void read_gpt2() {
    config_["activation_function"] = "gelu_new";
    const int64_t heads = config_.at("n_head").get<int64_t>();
    if (metadata_.get_int_or(key("attention.head_count_kv"), heads, 1, kMaxInteger) != heads) {
      unsupported("attention.head_count_kv", fmt::format("expected {} as head_count, found another", heads));
    }
    for (const std::string_view name : metadata_.keys()) {
      if (name.starts_with("gpt2.rope.")) unsupported(name.substr(5), "gpt2 has no rotary positions");
    }
    refuse_window("attention.sliding_window");
  }

  void refuse_window(std::string_view suffix) const {
    if (has(suffix)) unsupported(suffix, "not supported for this architecture");
  }

  /// The width of a head, and how much of it rotates.
  void read_heads() {
    const int64_t hidden = config_.at("hidden_size").get<int64_t>();
    const int64_t heads = config_.at("num_attention_heads").get<int64_t>();
    if (!config_.contains("head_dim")) {
      if (hidden % heads != 0) {
        metadata_.refuse(key("attention.head_count"),
                         fmt::format("expected a divisor of embedding_length ({}), found {}", hidden, heads));
      }
      config_["head_dim"] = hidden / heads;
    }
    const int64_t head_dim = config_.at("head_dim").get<int64_t>();
    const int64_t value_dim = metadata_.get_int_or(key("attention.value_length"), head_dim, 1, kMaxInteger);
    if (value_dim != head_dim) {
      unsupported("attention.value_length",
                  fmt::format("expected {} as key_length, found {}", head_dim, value_dim));
    }
    const int64_t rotary = metadata_.get_int_or(key("rope.dimension_count"), head_dim, 1, kMaxInteger);
    if (rotary > head_dim) {
      metadata_.refuse(key("rope.dimension_count"),
                       fmt::format("expected at most the {} of a head, found {}", head_dim, rotary));
    }
    rotary_dims_ = rotary;
    if (rotary == head_dim) return;
    if (architecture_.neighbour_rows) {
      unsupported("rope.dimension_count",
                  fmt::format("expected {} as a head has dimensions, found {}", head_dim, rotary));
    }
    const auto width = static_cast<double>(head_dim);
    double share = static_cast<double>(rotary) / width;
    while (static_cast<int64_t>(width * share) < rotary) share = std::nextafter(share, 1.0);
    config_["partial_rotary_factor"] = share;
  }

  void read_biases() {
    config_["attention_bias"] = find("blk.0.attn_q.bias") != nullptr;
    config_["mlp_bias"] = find("blk.0.ffn_gate.bias") != nullptr;
  }

  void read_windows() {
    constexpr std::string_view kWindow = "attention.sliding_window";
    constexpr std::string_view kPattern = "attention.sliding_window_pattern";
    const int64_t window = metadata_.get_int_or(key(kWindow), 0, 0, kMaxInteger);
    if (window == 0) return;
    config_["sliding_window"] = window;
    if (architecture_.name == "llama") {  // a Mistral: all layers slide
      refuse_window(kPattern);
      config_["model_type"] = "mistral";
      return;
    }
    config_["use_sliding_window"] = true;
    config_["max_window_layers"] = 0;
    if (!has(kPattern)) return;
    json types = json::array();
    for (const int64_t slides : metadata_.ints(key(kPattern))) {
      types.push_back(slides != 0 ? "sliding_attention" : "full_attention");
    }
    config_["layer_types"] = std::move(types);
  }

  void read_rope() {
    json scaling = json::object();
    const Tensor* divisors = architecture_.name == "llama" ? find(kRopeFreqs) : nullptr;
    const double factor = optional_real("rope.scaling.factor", 0, kMaxFactor)
                              .value_or(optional_real("rope.scale_linear", 0, kMaxFactor).value_or(0));
    // As llama.cpp has it: a factor alone is linear, 0 is none.
    const std::string_view type =
        metadata_.get_string_or(key("rope.scaling.type"), factor == 0 ? "none" : "linear");
    const bool is_scaled = type != "none" && !(type == "linear" && (factor == 0 || factor == 1));
    if (type != "none" && type != "linear" && type != "yarn") {
      unsupported("rope.scaling.type", fmt::format("'{}' is not supported; supported are none, linear, yarn",
                                                   printable(std::string(type))));
    }
    if (is_scaled && divisors != nullptr) {
      unsupported("rope.scaling.type",
                  fmt::format("'{}' together with tensor '{}' is not supported", type, kRopeFreqs));
    }
    const double attention = optional_real("rope.scaling.attn_factor", 0, kMaxFactor).value_or(1);
    if (attention != 1 && type != "yarn") {
      unsupported("rope.scaling.attn_factor", fmt::format("expected 1 without yarn, found {}", attention));
    }
    if (divisors != nullptr) {
      scaling["rope_type"] = "divisors";
      scaling["divisors"] = read_divisors(*divisors);
    } else if (is_scaled) {
      scaling["rope_type"] = type;
      if (factor == 0) metadata_.get_double(key("rope.scaling.factor"), 1e-6, kMaxFactor);
      scaling["factor"] = factor;
      if (type == "yarn") read_yarn(scaling, factor, attention);
    }
    if (!scaling.empty()) config_["rope_scaling"] = std::move(scaling);
  }

  void read_yarn(json& scaling, double factor, double attention) const {
    if (const auto share = optional_real("rope.scaling.yarn_ext_factor", -1, kMaxFactor)) {
      if (*share != 1 && *share != -1) {  // -1: the default, 1
        unsupported("rope.scaling.yarn_ext_factor", fmt::format("expected 1, found {}", *share));
      }
    }
    scaling["original_max_position_embeddings"] =
        metadata_.get_int_or(key("rope.scaling.original_context_length"),
                             config_.at("max_position_embeddings").get<int64_t>(), 1, kMaxInteger);
    if (const auto fast = optional_real("rope.scaling.yarn_beta_fast", 0, kMaxFactor)) {
      scaling["beta_fast"] = *fast;
    }
    if (const auto slow = optional_real("rope.scaling.yarn_beta_slow", 0, kMaxFactor)) {
      scaling["beta_slow"] = *slow;
    }
    if (attention != 1) scaling["attention_factor"] = attention * (1 + 0.1 * std::log(factor));
  }

  json read_divisors(const Tensor& tensor) const {
    const auto pairs = static_cast<size_t>(rotary_dims_ / 2);
    if (tensor.dtype != DType::f32 || tensor.shape.size() != 1 ||
        static_cast<size_t>(tensor.shape[0]) != pairs) {
      fail(ErrorCode::invalid_file, "{}: tensor '{}': expected {} numbers of f32, found {} of shape [{}]",
           metadata_.file(), kRopeFreqs, pairs, to_string(tensor.dtype), fmt::join(tensor.shape, ", "));
    }
    json divisors = json::array();
    for (size_t i = 0; i < pairs; ++i) {
      float divisor = 0;
      std::memcpy(&divisor, tensor.bytes.data() + i * sizeof divisor, sizeof divisor);
      if (!(divisor > 0) || !std::isfinite(divisor)) {
        fail(ErrorCode::invalid_file, "{}: tensor '{}': expected finite numbers above 0, found {}",
             metadata_.file(), kRopeFreqs, divisor);
      }
      divisors.push_back(static_cast<double>(divisor));
    }
    return divisors;
  }

  const GgufMetadata& metadata_;
  const GgufArchitecture& architecture_;
  std::span<const Tensor> tensors_;
  json config_ = json::object();
  int64_t rotary_dims_ = 0;
};

/// A token's id; none where the file says -1, in any width.
std::optional<int64_t> token_id(const GgufMetadata& metadata, std::string_view key) {
  const auto id = metadata.optional_int(key, -1, UINT32_MAX);
  return !id || *id == -1 || *id == int64_t{UINT32_MAX} ? std::nullopt : id;
}

}  // namespace

const GgufArchitecture& read_gguf_architecture(const GgufMetadata& metadata) {
  const std::string_view type = metadata.get_string_or("general.type", "model");
  if (type != "model") {
    fail(ErrorCode::unsupported, "{}: key 'general.type': expected 'model', found '{}'", metadata.file(),
         printable(std::string(type)));
  }
  const std::string_view name = metadata.get_string("general.architecture");
  if (const GgufArchitecture* found = find_gguf_architecture(name)) return *found;
  std::vector<std::string_view> names;
  for (const GgufArchitecture& known : gguf_architectures()) names.push_back(known.name);
  fail(ErrorCode::unsupported, "{}: key 'general.architecture': '{}' is not supported; supported are {}",
       metadata.file(), printable(std::string(name)), fmt::join(names, ", "));
}

Config translate_config(const GgufMetadata& metadata, const GgufArchitecture& architecture,
                        std::span<const Tensor> tensors) {
  return Config::parse(Translator(metadata, architecture, tensors).translate().dump(), metadata.file());
}

Config translate_generation_config(const GgufMetadata& metadata) {
  json config = json::object();
  if (const auto bos = token_id(metadata, "tokenizer.ggml.bos_token_id")) config["bos_token_id"] = *bos;
  if (const auto pad = token_id(metadata, "tokenizer.ggml.padding_token_id")) config["pad_token_id"] = *pad;
  // Any of them ends the text: of the document, of a turn, of a message.
  json ends = json::array();
  for (const std::string_view key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    const auto id = token_id(metadata, key);
    if (id && std::find(ends.begin(), ends.end(), json(*id)) == ends.end()) ends.push_back(*id);
  }
  if (!ends.empty()) config["eos_token_id"] = std::move(ends);

  const auto copy_real = [&](const char* key, const char* name, double max) {
    if (const auto value = metadata.optional_double(key, 0, max)) config[name] = as_decimal(*value);
  };
  copy_real("general.sampling.temp", "temperature", 1000);
  copy_real("general.sampling.top_p", "top_p", 1);
  copy_real("general.sampling.min_p", "min_p", 1);
  copy_real("general.sampling.penalty_repeat", "repetition_penalty", 1000);
  if (const auto top_k = metadata.optional_int("general.sampling.top_k", 0, INT32_MAX))
    config["top_k"] = *top_k;
  config["do_sample"] = config.contains("temperature") || config.contains("top_p") ||
                        config.contains("min_p") || config.contains("top_k");
  return Config::parse(config.dump(), metadata.file());
}

}  // namespace ingot::format
