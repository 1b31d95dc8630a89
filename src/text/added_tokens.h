// Added tokens: those that are cut out of a text before the model sees it, such as <|endoftext|>.
//
// Immutable once filled; const methods are thread safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/function_ref.h"

namespace ingot::text {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // decode() may leave it out
  bool normalized = false;   // looked for in the normalized text
  bool single_word = false;  // only where no letter or digit touches it
  bool lstrip = false;       // swallows white space on its left
  bool rstrip = false;       // … and on its right
};

/// Finds added tokens in a text: leftmost first, of those the longest.
class AddedTokenFinder {
 public:
  /// `text` is what stands for the token: its content, normalized or not.
  void add(std::string text, const AddedToken& token);
  /// Call once after the last add().
  void finish();

  /// Calls `gap` for each part between tokens (not empty) and `token` for each token, in order.
  void split(std::string_view text, FunctionRef<void(size_t begin, size_t end)> gap,
             FunctionRef<void(int32_t id)> token) const;

 private:
  struct Entry {
    std::string text;
    AddedToken token;
  };
  const Entry* longest_at(std::string_view text, size_t pos) const;

  std::vector<Entry> entries_;  // sorted by text
  bool starts_[256] = {};       // the bytes that some entry starts with
};

}  // namespace ingot::text
