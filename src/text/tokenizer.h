// The tokenizer of a checkpoint: text to token ids and back, as its tokenizer.json or GGUF file says.
//
// Equal in every id to the Hugging Face `tokenizers` package for the kinds it supports: BPE, byte-level or
// with byte fallback, as GPT-2, Llama 2 and 3, Qwen2, Mistral, SmolLM and DeepSeek publish them. Anything
// else in the file is an error that names it. `truncation` and `padding` are read over, as transformers does:
// they are the caller's business.
//
// Immutable after loading; const methods may be called from any thread. A moved-from Tokenizer may only be
// destroyed or assigned to.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::format {
class GgufMetadata;
}

namespace ingot::text {

class DecoderStep;

class Tokenizer {
 public:
  /// Reads `tokenizer.json` and, where present, `tokenizer_config.json` of a checkpoint folder.
  /// Errors: not_found (no tokenizer.json), invalid_file, unsupported, io.
  static Tokenizer load(const std::string& folder);

  /// Reads the text of a tokenizer.json. `name` stands at the front of messages.
  static Tokenizer from_json(std::string_view json, std::string_view name);

  /// Reads the tokenizer section of a GGUF file. Holds nothing of `metadata`. See gguf_tokenizer.h for the
  /// kinds, and has_vocabulary() there for files without. Errors: invalid_file, unsupported.
  static Tokenizer from_gguf(const format::GgufMetadata& metadata, std::string_view name);

  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Text that is not valid UTF-8 is taken with U+FFFD for each ill-formed part. `add_special_tokens`: put
  /// the ids of the post-processor (BOS, EOS) around it; special tokens written in the text are recognised
  /// either way.
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens = true) const;

  /// Always valid UTF-8. Errors: invalid_argument for an id that no token has.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  /// Highest id + 1, added tokens included.
  size_t vocab_size() const;
  std::optional<int32_t> token_to_id(std::string_view token) const;
  /// The token as the vocabulary spells it. Errors: invalid_argument for an id that no token has.
  std::string_view id_to_token(int32_t id) const;
  bool is_special(int32_t id) const;

  /// Whether the checkpoint brings a chat template (in tokenizer_config.json or beside it, in the GGUF file).
  bool has_chat_template() const;
  /// The tokens that tokenizer_config.json or the GGUF file names, if it does and they exist.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;

 private:
  friend class StreamDecoder;
  struct Parts;
  explicit Tokenizer(std::unique_ptr<const Parts> parts);

  std::unique_ptr<const Parts> parts_;
};

/// Decodes ids as they come. Never gives out half a character; what push() and finish() return adds up to
/// what decode() returns for the same ids. Holds a reference to the Tokenizer's parts, which must outlive it;
/// not thread safe.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;

  /// The text that this id makes final; often empty. Errors: invalid_argument for an id that no token has.
  std::string push(int32_t id);
  /// The text held back. Call once, last.
  std::string finish();

 private:
  friend class Tokenizer;
  void feed(int32_t id);

  const Tokenizer::Parts* parts_;
  bool skip_special_tokens_;
  std::unique_ptr<std::string> out_;
  std::vector<std::unique_ptr<DecoderStep>> chain_;  // last to first
};

}  // namespace ingot::text
