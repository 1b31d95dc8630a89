#include "text/vocab.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"
#include "text/hash.h"

namespace ingot::text {

void Vocab::reserve(size_t tokens, size_t bytes) {
  text_.reserve(bytes);
  entries_.reserve(tokens);
  entry_of_id_.reserve(tokens);
  rehash(std::bit_ceil(tokens * 2 + 16));
}

namespace {

uint32_t tag_of(uint64_t hash) {
  return static_cast<uint32_t>(hash >> 32);
}

}  // namespace

size_t Vocab::slot_of(std::string_view token, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.entry == 0) return at;
    if (slot.tag == tag_of(hash) && text_of(entries_[slot.entry - 1]) == token) return at;
  }
}

void Vocab::rehash(size_t slots) {
  slots_.assign(slots, Slot{});
  for (size_t i = 0; i < entries_.size(); ++i) {
    const std::string_view token = text_of(entries_[i]);
    const uint64_t hash = hash_bytes(token);
    slots_[slot_of(token, hash)] = {static_cast<uint32_t>(i + 1), tag_of(hash)};
  }
}

void Vocab::add(std::string_view token, int64_t id, std::string_view where) {
  if (id < 0 || id > kMaxTokenId) {
    fail(ErrorCode::invalid_file, "{}: token '{}': expected an id from 0 to {}, found {}", where, token,
         kMaxTokenId, id);
  }
  if (slots_.size() < 2 * (entries_.size() + 1)) rehash(std::max<size_t>(16, slots_.size() * 2));
  const uint64_t hash = hash_bytes(token);
  const size_t slot = slot_of(token, hash);
  if (slots_[slot].entry != 0) fail(ErrorCode::invalid_file, "{}: token '{}' appears twice", where, token);
  const auto index = static_cast<size_t>(id);
  if (index >= entry_of_id_.size()) entry_of_id_.resize(index + 1);
  if (entry_of_id_[index] != 0) {
    fail(ErrorCode::invalid_file, "{}: tokens '{}' and '{}' have the same id {}", where,
         text_of(entries_[entry_of_id_[index] - 1]), token, id);
  }
  entries_.push_back({text_.size(), static_cast<uint32_t>(token.size()), static_cast<int32_t>(id)});
  text_.append(token);
  slots_[slot] = {static_cast<uint32_t>(entries_.size()), tag_of(hash)};
  entry_of_id_[index] = static_cast<uint32_t>(entries_.size());
}

std::optional<int32_t> Vocab::find(std::string_view token) const {
  if (slots_.empty()) return std::nullopt;
  const uint32_t entry = slots_[slot_of(token, hash_bytes(token))].entry;
  if (entry == 0) return std::nullopt;
  return entries_[entry - 1].id;
}

void Vocab::find_all(std::span<const std::string_view> tokens, std::span<int32_t> ids) const {
  INGOT_CHECK(tokens.size() == ids.size(), "{} tokens, {} ids", tokens.size(), ids.size());
  if (slots_.empty()) return std::fill(ids.begin(), ids.end(), -1);
  constexpr size_t kBatch = 32;  // loads in flight
  std::array<uint64_t, kBatch> hashes;
  const size_t mask = slots_.size() - 1;
  for (size_t begin = 0; begin < tokens.size(); begin += kBatch) {
    const size_t count = std::min(kBatch, tokens.size() - begin);
    for (size_t i = 0; i < count; ++i) {
      hashes[i] = hash_bytes(tokens[begin + i]);
      __builtin_prefetch(&slots_[hashes[i] & mask]);
    }
    const auto first_entry = [&](size_t i) { return slots_[hashes[i] & mask].entry; };
    for (size_t i = 0; i < count; ++i) {
      if (const uint32_t entry = first_entry(i)) __builtin_prefetch(&entries_[entry - 1]);
    }
    for (size_t i = 0; i < count; ++i) {
      if (const uint32_t entry = first_entry(i)) __builtin_prefetch(text_of(entries_[entry - 1]).data());
    }
    for (size_t i = 0; i < count; ++i) {
      const uint32_t entry = slots_[slot_of(tokens[begin + i], hashes[i])].entry;
      ids[begin + i] = entry == 0 ? -1 : entries_[entry - 1].id;
    }
  }
}

std::optional<std::string_view> Vocab::token(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= entry_of_id_.size()) return std::nullopt;
  const uint32_t entry = entry_of_id_[static_cast<size_t>(id)];
  if (entry == 0) return std::nullopt;
  return text_of(entries_[entry - 1]);
}

}  // namespace ingot::text
