// A GGUF checkpoint under Hugging Face's keys and names.
//
// Rows of queries and keys that the file stores in llama.cpp's order are put back while loading: a copy of
// those rows alone. Everything else is read where it lies.
#pragma once

#include <string>

#include "format/checkpoint.h"

namespace ingot::format {

class GgufCheckpoint final : public Checkpoint {
 public:
  /// `path`: a GGUF file, any part of a split one. Errors: those of GgufFiles::open and translate_config.
  static GgufCheckpoint open(const std::string& path, Copies copies = Copies::now);

 private:
  using Checkpoint::Checkpoint;
};

}  // namespace ingot::format
