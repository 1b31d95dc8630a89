// Token strings and their ids, both ways.
//
// Owns the strings in one block. Filled while loading, immutable afterwards; const methods are thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::text {

/// Published vocabularies end below 300,000; the bound keeps a hostile id from asking for gigabytes.
inline constexpr int64_t kMaxTokenId = (int64_t{1} << 22) - 1;

class Vocab {
 public:
  /// Makes room for so many tokens and bytes of text.
  void reserve(size_t tokens, size_t bytes);

  /// Adds a token. `where` names the file. Errors: invalid_file for an id out of range, or a token or id that
  /// is there already.
  void add(std::string_view token, int64_t id, std::string_view where);

  std::optional<int32_t> find(std::string_view token) const;
  /// The ids of many tokens, -1 where there is none; several times faster than find() one by one where the
  /// tables are larger than the caches. Precondition: equal sizes.
  void find_all(std::span<const std::string_view> tokens, std::span<int32_t> ids) const;
  /// The token, or nothing for an id that no token has.
  std::optional<std::string_view> token(int32_t id) const;
  /// The token of an id that has one.
  std::string_view known_token(int32_t id) const {
    return text_of(entries_[entry_of_id_[static_cast<size_t>(id)] - 1]);
  }

  size_t tokens() const { return entries_.size(); }
  /// Highest id + 1.
  size_t id_end() const { return entry_of_id_.size(); }

 private:
  struct Entry {
    uint64_t offset;  // into text_
    uint32_t bytes;
    int32_t id;
  };
  struct Slot {
    uint32_t entry = 0;  // index into entries_ + 1; 0: empty
    uint32_t tag = 0;    // more of the hash: a slot of another token rarely costs a look at its text
  };
  std::string_view text_of(const Entry& entry) const { return {text_.data() + entry.offset, entry.bytes}; }
  // The slot of `token`, or the empty slot where it belongs.
  size_t slot_of(std::string_view token, uint64_t hash) const;
  void rehash(size_t slots);

  std::string text_;
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;            // open addressing, a power of two
  std::vector<uint32_t> entry_of_id_;  // index into entries_ + 1, 0 where the id is unused
};

}  // namespace ingot::text
