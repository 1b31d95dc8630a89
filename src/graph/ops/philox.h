// Philox 4x32-10, a counter-based generator (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2,
// 3").
//
// The same (key, counter) gives the same numbers on every device, in any order, with no state to carry.
#pragma once

#include <array>
#include <cstdint>

namespace ingot::graph {

inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53U} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9U;  // the golden ratio
    key[1] += 0xBB67AE85U;  // sqrt(3) - 1
  }
  return counter;
}

/// A number in [0, 1) with 53 random bits for a sequence's seed and the position of the token to draw.
inline double philox_uniform(uint64_t seed, uint32_t position) {
  const auto words =
      philox({position, 0, 0, 0}, {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t bits = (uint64_t{words[0]} << 32 | words[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace ingot::graph
