// Philox 4x32-10, a counter-based generator (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2,
// 3"). No format, but like them the one definition that host and devices share.
//
// The same (key, counter) gives the same numbers on every device, in any order, with no state to carry.
#pragma once

#include <cstdint>

#include "dtype/hd.h"

namespace ingot::dtype {

struct PhiloxCounter {
  uint32_t words[4];
  friend bool operator==(const PhiloxCounter&, const PhiloxCounter&) = default;
};

struct PhiloxKey {
  uint32_t words[2];
};

INGOT_HD inline PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53U} * counter.words[0];
    const uint64_t b = uint64_t{0xCD9E8D57U} * counter.words[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter.words[1] ^ key.words[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter.words[3] ^ key.words[1], static_cast<uint32_t>(a)};
    key.words[0] += 0x9E3779B9U;  // the golden ratio
    key.words[1] += 0xBB67AE85U;  // sqrt(3) - 1
  }
  return counter;
}

/// A number in [0, 1) with 53 random bits for a sequence's seed and the position of the token to draw.
INGOT_HD inline double philox_uniform(uint64_t seed, uint32_t position) {
  const PhiloxKey key{{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}};
  const PhiloxCounter random = philox({{position, 0, 0, 0}}, key);
  const uint64_t bits = (uint64_t{random.words[0]} << 32 | random.words[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace ingot::dtype
