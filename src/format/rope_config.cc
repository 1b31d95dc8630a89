#include "format/rope_config.h"

#include <cmath>
#include <limits>
#include <string>

#include "base/check.h"
#include "format/json.h"

namespace ingot::format {
namespace {

constexpr int64_t kMaxPositions = int64_t{1} << 40;
constexpr double kMaxFactor = 1e6;
constexpr double kTiny = 1e-6;

RopeConfig::Kind read_kind(const Config& section) {
  const std::string name = section.get_string_or("rope_type", section.get_string_or("type", "default"));
  for (const auto kind : {RopeConfig::Kind::standard, RopeConfig::Kind::linear, RopeConfig::Kind::llama3,
                          RopeConfig::Kind::yarn, RopeConfig::Kind::divisors}) {
    if (name == to_string(kind)) return kind;
  }
  fail(ErrorCode::unsupported,
       "{}: rope type '{}' is not supported; supported: default, linear, llama3, yarn", section.file(),
       printable(name));
}

// Some models put it beside rope_scaling (that one wins in transformers), most leave it out: not extended.
int64_t read_original_max_position(const Config& config, const Config& section) {
  constexpr auto key = "original_max_position_embeddings";
  if (const auto outer = config.optional_int(key, 1, kMaxPositions)) return *outer;
  if (const auto inner = section.optional_int(key, 1, kMaxPositions)) return *inner;
  return config.get_int("max_position_embeddings", 1, kMaxPositions);
}

void read_llama3(const Config& config, const Config& section, RopeConfig& rope) {
  rope.factor = section.get_double("factor", kTiny, kMaxFactor);
  rope.low_freq_factor = section.get_double("low_freq_factor", kTiny, kMaxFactor);
  rope.high_freq_factor = section.get_double("high_freq_factor", kTiny, kMaxFactor);
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    section.refuse("high_freq_factor", fmt::format("expected more than low_freq_factor ({}), found {}",
                                                   rope.low_freq_factor, rope.high_freq_factor));
  }
  rope.original_max_position = read_original_max_position(config, section);
}

void read_yarn(const Config& config, const Config& section, RopeConfig& rope) {
  rope.original_max_position = read_original_max_position(config, section);
  if (const auto factor = section.optional_double("factor", kTiny, kMaxFactor)) {
    rope.factor = *factor;
  } else {
    rope.factor = static_cast<double>(config.get_int("max_position_embeddings", 1, kMaxPositions)) /
                  static_cast<double>(rope.original_max_position);
  }
  const auto or_default = [&](std::string_view key, double fallback) {
    const double value = section.get_double_or(key, fallback, 0, kMaxFactor);
    return value == 0 ? fallback : value;  // transformers takes 0 as unset
  };
  rope.beta_fast = or_default("beta_fast", 32);
  rope.beta_slow = or_default("beta_slow", 1);
  if (rope.beta_fast < rope.beta_slow) {
    section.refuse("beta_fast",
                   fmt::format("expected at least beta_slow ({}), found {}", rope.beta_slow, rope.beta_fast));
  }
  rope.attention_factor = section.optional_double("attention_factor", 0, kMaxFactor);
  rope.mscale = section.optional_double("mscale", 0, kMaxFactor);
  rope.mscale_all_dim = section.optional_double("mscale_all_dim", 0, kMaxFactor);
  rope.truncate = section.get_bool_or("truncate", true);
  if (rope.theta <= 1) {
    section.refuse("rope_theta", fmt::format("expected more than 1 for yarn, found {}", rope.theta));
  }
}

void read_divisors(const Config& section, RopeConfig& rope) {
  // A divisor reaches f32's largest where a pair is not to rotate at all.
  for (const double divisor : section.get_double_list("divisors", kTiny, std::numeric_limits<float>::max())) {
    rope.divisors.push_back(static_cast<float>(divisor));
  }
  if (rope.divisors.empty())
    section.refuse("divisors", "expected a number for each pair of dimensions, found none");
}

}  // namespace

std::string_view to_string(RopeConfig::Kind kind) {
  switch (kind) {
    case RopeConfig::Kind::standard:
      return "default";
    case RopeConfig::Kind::linear:
      return "linear";
    case RopeConfig::Kind::llama3:
      return "llama3";
    case RopeConfig::Kind::yarn:
      return "yarn";
    case RopeConfig::Kind::divisors:
      return "divisors";
  }
  return "?";
}

double RopeConfig::attention_scale() const {
  if (kind != Kind::yarn) return 1;
  if (attention_factor) return *attention_factor;
  const auto scaled = [&](double weight) { return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1; };
  if (mscale.value_or(0) != 0 && mscale_all_dim.value_or(0) != 0)
    return scaled(*mscale) / scaled(*mscale_all_dim);
  return scaled(1);
}

RopeConfig read_rope_config(const Config& config, double default_theta) {
  auto section = config.optional_object("rope_scaling");
  if (!section || section->keys().empty()) section = config.optional_object("rope_parameters");
  RopeConfig rope;
  rope.theta = config.get_double_or("rope_theta", default_theta, kTiny, 1e15);
  rope.partial_rotary_factor = config.get_double_or("partial_rotary_factor", 1, kTiny, 1);
  if (!section) return rope;

  for (const char* per_layer : {"full_attention", "sliding_attention"}) {
    if (section->has(per_layer)) {
      fail(ErrorCode::unsupported,
           "{}: settings per layer type ('{}') are not supported; expected one for all layers",
           section->file(), per_layer);
    }
  }
  rope.theta = section->get_double_or("rope_theta", rope.theta, kTiny, 1e15);
  rope.partial_rotary_factor =
      section->get_double_or("partial_rotary_factor", rope.partial_rotary_factor, kTiny, 1);
  rope.kind = read_kind(*section);
  switch (rope.kind) {
    case RopeConfig::Kind::standard:
      break;
    case RopeConfig::Kind::linear:
      rope.factor = section->get_double("factor", kTiny, kMaxFactor);
      break;
    case RopeConfig::Kind::llama3:
      read_llama3(config, *section, rope);
      break;
    case RopeConfig::Kind::yarn:
      read_yarn(config, *section, rope);
      break;
    case RopeConfig::Kind::divisors:
      read_divisors(*section, rope);
      break;
  }
  return rope;
}

}  // namespace ingot::format
