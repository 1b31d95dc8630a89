// A fast hash of short byte strings for the tokenizer's tables. Not for untrusted keys that must not collide:
// a collision only costs a comparison.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace ingot::text {

constexpr uint64_t mix_hash(uint64_t value) {
  value ^= value >> 32;
  value *= 0xD6E8FEB86659FD93U;
  value ^= value >> 32;
  return value;
}

inline uint64_t hash_bytes(std::string_view text) {
  uint64_t hash = 0x9E3779B97F4A7C15U * (text.size() + 1);
  const char* p = text.data();
  size_t left = text.size();
  uint64_t block = 0;
  for (; left > sizeof block; left -= sizeof block, p += sizeof block) {
    std::memcpy(&block, p, sizeof block);
    hash = mix_hash(hash ^ block) * 0x9E3779B97F4A7C15U;
  }
  block = 0;
  if (left > 0) std::memcpy(&block, p, left);
  return mix_hash(mix_hash(hash ^ block) * 0xD6E8FEB86659FD93U);
}

}  // namespace ingot::text
