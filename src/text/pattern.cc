#include "text/pattern.h"

#include "base/check.h"

namespace ingot::text {

Pattern Pattern::read(const Settings& settings) {
  const Settings pattern = settings.object("pattern");
  pattern.allow_only({"String", "Regex"});
  if (pattern.has("Regex")) {
    return Pattern(std::variant<std::string, Regex>(std::in_place_type<Regex>, pattern.string("Regex"),
                                                    pattern.place()));
  }
  std::string text = pattern.string("String");
  if (text.empty())
    fail(ErrorCode::unsupported, "{}: expected a text to look for, found an empty one", pattern.place());
  return Pattern(std::variant<std::string, Regex>(std::move(text)));
}

void Pattern::for_each_match(std::string_view text, MatchState& state, FunctionRef<void(Match)> found) const {
  if (const auto* literal = std::get_if<std::string>(&what_)) {
    for (size_t at = text.find(*literal); at != std::string_view::npos;
         at = text.find(*literal, at + literal->size())) {
      found({at, at + literal->size()});
    }
    return;
  }
  MatchWalk walk(std::get<Regex>(what_), text, state);
  Match match;
  while (walk.next(match)) found(match);
}

void Pattern::replace(std::string_view text, std::string_view replacement, MatchState& state,
                      std::string& out) const {
  size_t copied = 0;
  for_each_match(text, state, [&](Match match) {
    out.append(text.substr(copied, match.begin - copied));
    out.append(replacement);
    copied = match.end;
  });
  out.append(text.substr(copied));
}

}  // namespace ingot::text
