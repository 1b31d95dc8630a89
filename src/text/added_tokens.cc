#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/unicode.h"
#include "text/utf8.h"

namespace ingot::text {

void AddedTokenFinder::add(std::string text, const AddedToken& token) {
  if (text.empty()) return;
  starts_[static_cast<unsigned char>(text[0])] = true;
  entries_.push_back({std::move(text), token});
}

void AddedTokenFinder::finish() {
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.text < b.text; });
}

// Narrows the sorted entries byte by byte, as a trie would.
const AddedTokenFinder::Entry* AddedTokenFinder::longest_at(std::string_view text, size_t pos) const {
  const Entry* longest = nullptr;
  auto low = entries_.begin();
  auto high = entries_.end();
  for (size_t depth = 0; low != high && pos + depth < text.size(); ++depth) {
    const char byte = text[pos + depth];
    const auto at_depth = [depth](const Entry& entry) {
      return depth < entry.text.size() ? static_cast<unsigned char>(entry.text[depth]) : -1;
    };
    const int wanted = static_cast<unsigned char>(byte);
    low = std::partition_point(low, high, [&](const Entry& entry) { return at_depth(entry) < wanted; });
    high = std::partition_point(low, high, [&](const Entry& entry) { return at_depth(entry) == wanted; });
    if (low != high && low->text.size() == depth + 1) longest = &*low;
  }
  return longest;
}

void AddedTokenFinder::split(std::string_view text, FunctionRef<void(size_t, size_t)> gap,
                             FunctionRef<void(int32_t)> token) const {
  size_t done = 0;
  for (size_t pos = 0; !entries_.empty() && pos < text.size();) {
    const Entry* match = starts_[static_cast<unsigned char>(text[pos])] ? longest_at(text, pos) : nullptr;
    if (match == nullptr) {
      ++pos;
      continue;
    }
    size_t begin = pos;
    size_t end = pos + match->text.size();
    pos = end;  // a match that is refused below still hides what it covers
    if (match->token.single_word) {
      const bool joined_left = begin > 0 && is_word_character(decode_utf8_before(text, begin).value);
      const bool joined_right = end < text.size() && is_word_character(decode_utf8(text.data() + end).value);
      if (joined_left || joined_right) continue;
    }
    while (match->token.lstrip && begin > done) {
      const CodePoint before = decode_utf8_before(text, begin);
      if (!is_whitespace(before.value)) break;
      begin -= before.bytes;
    }
    while (match->token.rstrip && end < text.size()) {
      const CodePoint behind = decode_utf8(text.data() + end);
      if (!is_whitespace(behind.value)) break;
      end += behind.bytes;
    }
    if (done < begin) gap(done, begin);
    token(match->token.id);
    done = end;
  }
  if (done < text.size()) gap(done, text.size());
}

}  // namespace ingot::text
