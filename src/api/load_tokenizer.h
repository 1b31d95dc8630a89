// The tokenizer of a checkpoint, from wherever its kind of files keeps it.
#pragma once

#include <memory>

#include "format/checkpoint.h"
#include "text/tokenizer.h"

namespace ingot::api {

/// Null for a GGUF file that brings none and has no tokenizer.json beside it: such a model runs, but knows no
/// text. Errors: those of text::Tokenizer.
std::unique_ptr<text::Tokenizer> load_tokenizer(const format::Checkpoint& checkpoint);

}  // namespace ingot::api
