// What Split and Replace look for: {"String": "…"} or {"Regex": "…"}.
//
// Immutable, shared by threads; each brings its own MatchState.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "text/function_ref.h"
#include "text/regex.h"
#include "text/settings.h"

namespace ingot::text {

class Pattern {
 public:
  /// Reads the key "pattern". Errors: invalid_file, unsupported.
  static Pattern read(const Settings& settings);

  /// Calls `found` with each match from left to right.
  void for_each_match(std::string_view text, MatchState& state, FunctionRef<void(Match)> found) const;

  /// Appends `text` to `out` with every match replaced.
  void replace(std::string_view text, std::string_view replacement, MatchState& state,
               std::string& out) const;

 private:
  explicit Pattern(std::variant<std::string, Regex> what) : what_(std::move(what)) {}

  std::variant<std::string, Regex> what_;
};

}  // namespace ingot::text
