// The tokenizer of a checkpoint, from wherever its kind of files keeps it.
#pragma once

#include <memory>

#include "format/checkpoint.h"
#include "text/tokenizer.h"

namespace ingot::api {

/// A GGUF file's own comes first, a tokenizer.json beside it where it brings none. Null where there is
/// neither: such a model runs, but knows no text. Errors: those of text::Tokenizer.
std::unique_ptr<text::Tokenizer> load_tokenizer(const format::Checkpoint& checkpoint);

}  // namespace ingot::api
