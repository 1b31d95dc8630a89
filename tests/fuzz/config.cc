// Any text is either refused with an Error of bad input, or becomes settings inside their ranges.
#include "format/config.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "format/generation_config.h"
#include "format/rope_config.h"
#include "ingot/error.h"

namespace {

using namespace ingot;

// Runs `read`; true unless it refused its input.
template <typename Read>
bool accepted(Read read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_file && error.code() != ErrorCode::unsupported) std::abort();
    return false;
  }
}

void require(bool condition) {
  if (!condition) std::abort();
}

void read_every_type(const format::Config& config) {
  for (const std::string& key : config.keys()) {
    accepted([&] { config.get_int(key, INT64_MIN, INT64_MAX); });
    accepted([&] { require(std::isfinite(config.get_double(key, -1e300, 1e300))); });
    accepted([&] { config.get_bool(key); });
    accepted([&] { config.get_string(key); });
    accepted([&] { config.get_int_list(key, 0, 100); });
    accepted([&] { config.get_string_list(key); });
    accepted([&] { config.optional_object(key); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  format::Config config;
  if (!accepted([&] { config = format::Config::parse({reinterpret_cast<const char*>(data), size}, "fuzz"); }))
    return 0;
  read_every_type(config);
  accepted([&] {
    const format::RopeConfig rope = format::read_rope_config(config);
    require(rope.theta > 0 && rope.factor > 0 && std::isfinite(rope.attention_scale()));
    require(rope.kind != format::RopeConfig::Kind::yarn || rope.original_max_position > 0);
  });
  accepted([&] {
    const format::GenerationConfig generation = format::read_generation_config(config, config);
    require(generation.temperature >= 0 && generation.top_k >= 0 && generation.repetition_penalty > 0);
    for (const int64_t id : generation.eos_token_ids) require(id >= 0);
  });
  return 0;
}
