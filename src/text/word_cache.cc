#include "text/word_cache.h"

#include <utility>

#include "base/check.h"

namespace ingot::text {
namespace {

constexpr size_t kFirstSlots = size_t{1} << 10;
constexpr size_t kMaxSlots = size_t{1} << 17;  // half of them used: 64K words, some 5 MB

}  // namespace

size_t WordCache::slot_of(std::string_view word, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  while (slots_[slot].word_bytes != 0) {
    const Entry& entry = slots_[slot];
    if (entry.hash == hash && std::string_view(words_).substr(entry.word_offset, entry.word_bytes) == word)
      break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

std::optional<std::span<const int32_t>> WordCache::find(std::string_view word, uint64_t hash) const {
  if (slots_.empty()) return std::nullopt;
  const Entry& entry = slots_[slot_of(word, hash)];
  if (entry.word_bytes == 0) return std::nullopt;
  return std::span<const int32_t>(ids_).subspan(entry.ids_offset, entry.ids_count);
}

void WordCache::grow() {
  if (slots_.size() >= kMaxSlots) {  // start over, keeping the capacity
    slots_.assign(kMaxSlots, Entry{});
    used_ = 0;
    words_.clear();
    ids_.clear();
    return;
  }
  const std::vector<Entry> old = std::exchange(slots_, {});
  slots_.assign(old.empty() ? kFirstSlots : old.size() * 4, Entry{});
  for (const Entry& entry : old) {
    if (entry.word_bytes == 0) continue;
    slots_[slot_of(std::string_view(words_).substr(entry.word_offset, entry.word_bytes), entry.hash)] = entry;
  }
}

void WordCache::insert(std::string_view word, uint64_t hash, std::span<const int32_t> ids) {
  INGOT_CHECK(!word.empty() && word.size() <= kMaxWordBytes && ids.size() <= UINT16_MAX,
              "a word of {} bytes, {} ids", word.size(), ids.size());
  if (2 * (used_ + 1) > slots_.size()) grow();
  slots_[slot_of(word, hash)] = {hash, static_cast<uint32_t>(words_.size()),
                                 static_cast<uint32_t>(ids_.size()), static_cast<uint16_t>(word.size()),
                                 static_cast<uint16_t>(ids.size())};
  words_.append(word);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++used_;
}

}  // namespace ingot::text
