// Pre-tokenizers: split a text into the words that the model encodes one by one.
//
// They run as a chain, piece by piece: a step hands each part on as soon as it is found, so a long document
// needs no list of pieces. Immutable once read; shared by threads, each with its own Scratch.
#pragma once

#include <memory>
#include <string_view>

#include "text/function_ref.h"
#include "text/scratch.h"
#include "text/settings.h"

namespace ingot::text {

/// A part of the text. The view is good until the sink that received it returns.
struct Piece {
  std::string_view text;  // valid UTF-8, not empty
  bool at_start;          // whether it starts where the whole input starts; Metaspace asks
};

using PieceSink = FunctionRef<void(Piece)>;

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void split(Piece piece, Scratch& scratch, PieceSink sink) const = 0;
};

struct PreTokenizerChain {
  std::unique_ptr<PreTokenizer> first;  // null: the text is one piece
  /// The chain ends with ByteLevel: pieces are handed on as raw bytes, the model applies the byte alphabet.
  bool byte_level = false;
  size_t buffers = 0;  // how many Scratch::buffers it uses
};

/// Reads the pre-tokenizer of tokenizer.json. Errors: unsupported, invalid_file.
PreTokenizerChain read_pre_tokenizer(const Settings& settings);

}  // namespace ingot::text
