// A compiled regex of tokenizer.json, run by PCRE2 (JIT where the platform has one).
//
// A Regex is immutable and may be shared by threads; each thread brings its own MatchState. Every match is
// bounded in steps and memory, so a hostile pattern ends in an Error, not in a hang.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ingot::text {

/// Working memory of matches: result slots, limits, JIT stack. Not thread safe.
class MatchState {
 public:
  MatchState();
  ~MatchState();
  MatchState(const MatchState&) = delete;
  MatchState& operator=(const MatchState&) = delete;

 private:
  friend class Regex;
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

struct Match {
  size_t begin = 0;
  size_t end = 0;
};

class Regex {
 public:
  /// `where` stands at the front of messages. Errors: invalid_file (does not compile), unsupported.
  Regex(std::string_view pattern, std::string_view where);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// The first match at or after `from`. Precondition: valid UTF-8.
  /// Errors: unsupported when the pattern needs more than the step or stack limit on this text.
  std::optional<Match> find(std::string_view text, size_t from, MatchState& state) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

/// Walks the matches of a text from left to right; an empty match directly behind another match does not
/// count.
class MatchWalk {
 public:
  MatchWalk(const Regex& regex, std::string_view text, MatchState& state)
      : regex_(regex), text_(text), state_(state) {}
  /// False when there are no more.
  bool next(Match& match);

 private:
  const Regex& regex_;
  std::string_view text_;
  MatchState& state_;
  size_t from_ = 0;
  std::optional<size_t> last_end_;
};

}  // namespace ingot::text
