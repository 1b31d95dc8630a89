// Rotary position embedding settings, from either generation of config.json.
//
// Older files hold `rope_theta` and, where the context was extended, `rope_scaling` with `type` or
// `rope_type`; newer ones hold all of it in `rope_parameters`. Defaults and precedence follow transformers
// (modeling_rope_utils): a non-empty rope_scaling wins over rope_parameters.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "format/config.h"

namespace ingot::format {

struct RopeConfig {
  enum class Kind {
    standard,  // "default": no scaling
    linear,    // every frequency divided by `factor`
    llama3,    // long wavelengths divided by `factor`, short ones kept, smooth between
    yarn,      // Peng et al. 2023: a ramp over dimensions, and attention scaled by attention_factor
    divisors,  // each pair's frequency divided by a number of its own, as GGUF files store llama3
  };

  Kind kind = Kind::standard;
  double theta = 10000;
  double partial_rotary_factor = 1;   // share of the head's dimensions that rotate, (0, 1]
  double factor = 1;                  // linear, llama3, yarn
  int64_t original_max_position = 0;  // tokens the model was first trained on; llama3, yarn
  // llama3
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  // yarn
  double beta_fast = 32;
  double beta_slow = 1;
  std::optional<double> attention_factor;  // absent: from factor, mscale and mscale_all_dim
  std::optional<double> mscale;
  std::optional<double> mscale_all_dim;
  bool truncate = true;  // whether the ramp's ends are rounded to whole dimensions
  // divisors
  std::vector<float> divisors;  // by pair of dimensions

  /// What cos and sin are multiplied with: 1 but for yarn (its paper, section 3.4).
  double attention_scale() const;

  bool operator==(const RopeConfig&) const = default;
};

/// The name in config files: "default", "linear", "llama3", "yarn", "divisors" (Ingot's own).
std::string_view to_string(RopeConfig::Kind kind);

/// Reads a model's config. Errors: invalid_file for missing or out-of-range values; unsupported for another
/// kind of scaling, or one that differs per layer type.
RopeConfig read_rope_config(const Config& config, double default_theta = 10000);

}  // namespace ingot::format
