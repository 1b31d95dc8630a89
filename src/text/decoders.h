// Decoders: token strings back to text, as a stream.
//
// A decoder of tokenizer.json becomes a chain of steps that receive tokens one by one and pass on what is
// final. Decoding a whole list runs the same chain, so streamed text equals decoded text by construction. A
// Decoder is immutable and shared by threads; a DecoderStep belongs to one stream.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/settings.h"

namespace ingot::text {

/// One step of a running chain. Text arrives in parts (whole characters); end_token() says where a token
/// ends.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  virtual void text(std::string_view part) = 0;
  virtual void end_token() = 0;
  /// The stream is over: pass on what was held back. Called once, last.
  virtual void finish() = 0;
};

class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Appends this decoder's steps to `chain`, which is built from its end: chain.back() is the next step.
  virtual void start(std::vector<std::unique_ptr<DecoderStep>>& chain) const = 0;
};

/// Reads the decoder of tokenizer.json. Errors: unsupported, invalid_file.
std::unique_ptr<Decoder> read_decoder(const Settings& settings);

/// What tokenizers does without a decoder: tokens with spaces between them.
std::unique_ptr<Decoder> make_joining_decoder();

}  // namespace ingot::text
