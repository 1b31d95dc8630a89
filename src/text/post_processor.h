// What is put around the ids of a text: BOS and EOS rules.
#pragma once

#include <cstdint>
#include <vector>

#include "text/settings.h"

namespace ingot::text {

struct PostProcessor {
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
};

/// Reads the post-processor of tokenizer.json: TemplateProcessing, ByteLevel (which concerns offsets only),
/// Sequence. Errors: unsupported, invalid_file.
PostProcessor read_post_processor(const Settings& settings);

}  // namespace ingot::text
