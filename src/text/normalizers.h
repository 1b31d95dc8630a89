// Normalizers: rewrite a text before it is split into words.
//
// Immutable once read; shared by threads, each with its own MatchState.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text/regex.h"
#include "text/settings.h"

namespace ingot::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Rewrites `text` in place. Precondition and result: valid UTF-8.
  virtual void apply(std::string& text, MatchState& state) const = 0;
};

/// Reads one normalizer of tokenizer.json. Errors: unsupported, invalid_file.
std::unique_ptr<Normalizer> read_normalizer(const Settings& settings);

}  // namespace ingot::text
