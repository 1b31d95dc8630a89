// Tokenizers from the metadata of GGUF files: equal to the Hugging Face package on the same vocabularies
// (tools/gguf_tokenizer_goldens.py wrote the files), and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <span>

#include "../format/gguf_bytes.h"
#include "base/check.h"
#include "base/mapped_file.h"
#include "cases.h"
#include "format/gguf.h"
#include "ingot/error.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/gguf_tokenizer.h"
#include "text/merge_rules.h"
#include "text/tokenizer.h"

namespace ingot::text {
namespace {

using format::GgufBytes;
using testing::ElementsAre;
using testing::HasSubstr;

enum Type : int32_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

// The bytes are gone when this returns: a Tokenizer keeps nothing of them.
Tokenizer from_bytes(std::string bytes) {
  return Tokenizer::from_gguf(format::parse_gguf(std::as_bytes(std::span(bytes)), "m.gguf").metadata,
                              "m.gguf");
}

std::string message_of(const GgufBytes& file, ErrorCode code) {
  try {
    from_bytes(file.bytes()).encode("ab ba");
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what();
    return error.what();
  }
  return "no throw";
}

// A vocabulary of the kind "llama": <unk> <s> </s>, the 256 bytes, then `pieces`.
struct Pieces {
  std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types{kUnknown, kControl, kControl};
  std::vector<float> scores{0, 0, 0};

  explicit Pieces(const std::vector<std::pair<std::string, float>>& pieces) {
    for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), 0, kByte);
    for (const auto& [token, score] : pieces) add(token, score, kNormal);
  }
  void add(const std::string& token, float score, int32_t type) {
    tokens.push_back(token);
    types.push_back(type);
    scores.push_back(score);
  }
  GgufBytes file() const {
    GgufBytes out;
    out.string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", tokens)
        .numbers("tokenizer.ggml.token_type", types)
        .numbers("tokenizer.ggml.scores", scores);
    return out;
  }
};
constexpr int32_t kFirstPiece = 259;

Pieces small_pieces() {
  return Pieces({{"\u2581", -6}, {"a", -4}, {"b", -5}, {"\u2581a", -1}, {"ab", -2}, {"\u2581ab", -3}});
}

// A byte-level vocabulary: the printable ASCII characters, the space, then `more`.
struct Words {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<std::string> merges;

  Words() {
    for (char c = '!'; c <= '~'; ++c) add(std::string(1, c), kNormal);
    add("\u0120", kNormal);
  }
  int32_t add(const std::string& token, int32_t type) {
    tokens.push_back(token);
    types.push_back(type);
    return static_cast<int32_t>(tokens.size()) - 1;
  }
  GgufBytes file(std::string_view pre = "gpt-2") const {
    GgufBytes out;
    out.string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", pre)
        .strings("tokenizer.ggml.tokens", tokens)
        .numbers("tokenizer.ggml.token_type", types)
        .strings("tokenizer.ggml.merges", merges);
    return out;
  }
  int32_t id(std::string_view token) const {
    return static_cast<int32_t>(std::find(tokens.begin(), tokens.end(), token) - tokens.begin());
  }
};

TEST(GgufTokenizerGoldens, EveryIdAndEveryDecodedTextEqualsTheHuggingFacePackage) {
  size_t files = 0;
  for (const auto& folder : folders_with("vocab.gguf")) {
    const std::string path = (folder / "vocab.gguf").string();
    const MappedFile file(path);
    files += check_cases(Tokenizer::from_gguf(format::parse_gguf(file.bytes(), path).metadata, path), folder);
  }
  EXPECT_GE(files, full_cases() ? 1U : 16U);
}

TEST(GgufTokenizerGoldens, VocabularyIsThatOfTheTokenizerJson) {
  for (const auto& folder : folders_with("vocab.gguf")) {
    const std::string path = (folder / "vocab.gguf").string();
    const MappedFile file(path);
    const Tokenizer gguf = Tokenizer::from_gguf(format::parse_gguf(file.bytes(), path).metadata, path);
    const Tokenizer folders = Tokenizer::load(folder.string());
    ASSERT_EQ(gguf.vocab_size(), folders.vocab_size()) << path;
    for (int32_t id = 0; id < static_cast<int32_t>(gguf.vocab_size()); ++id) {
      ASSERT_EQ(gguf.id_to_token(id), folders.id_to_token(id)) << path << ": " << id;
      ASSERT_EQ(gguf.is_special(id), folders.is_special(id)) << path << ": " << id;
    }
  }
}

TEST(GgufTokenizer, PieceOfTheBestScoreIsJoinedFirst) {
  const Tokenizer tokenizer = from_bytes(small_pieces().file().bytes());
  // "▁a" (-1) goes before "ab" (-2); "▁ab" is then "▁a" + "b".
  EXPECT_THAT(tokenizer.encode("ab"), ElementsAre(1, kFirstPiece + 5));
  EXPECT_THAT(tokenizer.encode("bab", false), ElementsAre(kFirstPiece, kFirstPiece + 2, kFirstPiece + 4));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("bab ab")), "bab ab");
}

TEST(GgufTokenizer, RulesOfOneScoreTakeTheLongerLeftPartFirst) {
  Vocab vocab;
  for (const std::string_view token : {"a", "b", "c", "ab", "bc", "abc", "bcb"})
    vocab.add(token, static_cast<int64_t>(vocab.tokens()), "test");
  const std::vector<float> scores{0, 0, 0, -2, -1, -3, -1};
  std::vector<std::string> rules;
  for (const MergeRule& rule : merges_from_scores(vocab, scores, std::vector<bool>(7, true), "test")) {
    rules.push_back(fmt::format("{} {} {}", *vocab.token(rule.left), *vocab.token(rule.right),
                                *vocab.token(rule.product)));
  }
  // "bc" and "bcb" share a score: the left part of two characters comes first.
  EXPECT_THAT(rules, ElementsAre("bc b bcb", "b c bc", "a b ab", "ab c abc", "a bc abc"));
}

TEST(GgufTokenizer, CharactersWithoutPieceBecomeBytes) {
  const Tokenizer tokenizer = from_bytes(small_pieces().file().bytes());
  EXPECT_THAT(tokenizer.encode("\u00e9", false), ElementsAre(kFirstPiece, 3 + 0xC3, 3 + 0xA9));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("\u00e9")), "\u00e9");
}

TEST(GgufTokenizer, SpacePrefixBosAndEosFollowTheirFlags) {
  GgufBytes file = small_pieces().file();
  file.boolean("tokenizer.ggml.add_space_prefix", false)
      .boolean("tokenizer.ggml.add_bos_token", false)
      .boolean("tokenizer.ggml.add_eos_token", true)
      .number("tokenizer.ggml.eos_token_id", uint32_t{kFirstPiece + 2});
  const Tokenizer tokenizer = from_bytes(file.bytes());
  EXPECT_THAT(tokenizer.encode("ab"), ElementsAre(kFirstPiece + 4, kFirstPiece + 2));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(" a", false)), " a");
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), kFirstPiece + 2);
}

TEST(GgufTokenizer, TokenTypesDecideWhatIsCutOutAndWhatIsSkipped) {
  Words words;
  const int32_t control = words.add("<|end|>", kControl);
  const int32_t user = words.add("<think>", kUserDefined);
  words.add("[PAD97]", kUnused);
  const Tokenizer tokenizer = from_bytes(words.file().bytes());
  const auto ids = tokenizer.encode("a<think><|end|>");
  EXPECT_THAT(ids, ElementsAre(words.id("a"), user, control));
  EXPECT_EQ(tokenizer.decode(ids), "a<think>");
  EXPECT_EQ(tokenizer.decode(ids, /*skip_special_tokens=*/false), "a<think><|end|>");
  EXPECT_TRUE(tokenizer.is_special(control));
  EXPECT_FALSE(tokenizer.is_special(user));
  // Tokens that only fill the embedding are none of the vocabulary.
  EXPECT_EQ(tokenizer.vocab_size(), static_cast<size_t>(user) + 1);
  EXPECT_EQ(tokenizer.token_to_id("[PAD97]"), std::nullopt);
}

TEST(GgufTokenizer, Llama3TakesAWholeWordThatNoMergeMakes) {
  Words words;
  const int32_t whole = words.add("king", kNormal);
  const int32_t bos = words.add("<|begin_of_text|>", kControl);
  GgufBytes file = words.file("llama-bpe");
  file.number("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(bos));
  EXPECT_THAT(from_bytes(file.bytes()).encode("king"), ElementsAre(bos, whole));
  EXPECT_EQ(from_bytes(words.file("gpt-2").bytes()).encode("king").size(), 4U);
}

TEST(GgufTokenizer, EveryListedPreTokenizerSplitsTextWithoutLoss) {
  Words words;
  words.add("<bos>", kControl);
  const std::string text = "I'll pay $3,141.59 (or 2718) -- OK?  fine";
  std::string names = gguf_pre_tokenizer_names() + ", ";
  size_t count = 0;
  for (size_t end; (end = names.find(", ")) != std::string::npos; names.erase(0, end + 2), ++count) {
    GgufBytes file = words.file(names.substr(0, end));
    file.number("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(words.id("<bos>")));
    const Tokenizer tokenizer = from_bytes(file.bytes());
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text) << names.substr(0, end);
  }
  EXPECT_GE(count, 28U);
}

TEST(GgufTokenizer, FileWithoutPreTokenizerNameSplitsAsGpt2) {
  Words words;
  words.add("12", kNormal);
  words.merges = {"1 2"};
  GgufBytes file;
  file.string("tokenizer.ggml.model", "gpt2")
      .strings("tokenizer.ggml.tokens", words.tokens)
      .strings("tokenizer.ggml.merges", words.merges);
  EXPECT_THAT(from_bytes(file.bytes()).encode("12"), ElementsAre(words.id("12")));
}

TEST(GgufTokenizer, ChatTemplateIsSeenUnderBothOfItsKeys) {
  EXPECT_FALSE(from_bytes(small_pieces().file().bytes()).has_chat_template());
  for (const char* key : {"tokenizer.chat_template", "tokenizer.chat_template.tool_use"}) {
    GgufBytes file = small_pieces().file();
    file.string(key, "{{ messages }}");
    EXPECT_TRUE(from_bytes(file.bytes()).has_chat_template()) << key;
  }
}

TEST(GgufTokenizer, FileWithoutVocabularySaysSo) {
  for (const char* model : {"no_vocab", "none"}) {
    GgufBytes file;
    file.string("tokenizer.ggml.model", model);
    const std::string bytes = file.bytes();
    EXPECT_FALSE(has_vocabulary(format::parse_gguf(std::as_bytes(std::span(bytes)), "m.gguf").metadata));
    EXPECT_THAT(message_of(file, ErrorCode::unsupported), HasSubstr("m.gguf: this file has no vocabulary"));
  }
  EXPECT_FALSE(has_vocabulary(format::GgufMetadata()));
}

TEST(GgufTokenizer, OtherKindsAndPreTokenizersAreNamedWithWhatIsSupported) {
  GgufBytes file;
  file.string("tokenizer.ggml.model", "bert");
  EXPECT_THAT(message_of(file, ErrorCode::unsupported),
              HasSubstr("'bert' is not supported; supported are gpt2, llama"));
  EXPECT_THAT(message_of(Words().file("kimi-k2"), ErrorCode::unsupported),
              testing::AllOf(HasSubstr("m.gguf: key 'tokenizer.ggml.pre': 'kimi-k2' is not supported"),
                             HasSubstr("llama-bpe"), HasSubstr("qwen2")));
}

TEST(GgufTokenizer, ArraysOfOtherLengthsAreNamedWithBothLengths) {
  Pieces pieces = small_pieces();
  pieces.scores.pop_back();
  EXPECT_THAT(
      message_of(pieces.file(), ErrorCode::invalid_file),
      HasSubstr("m.gguf: key 'tokenizer.ggml.scores': expected one for each of the 265 tokens, found 264"));
  pieces = small_pieces();
  pieces.types.push_back(1);
  EXPECT_THAT(message_of(pieces.file(), ErrorCode::invalid_file),
              HasSubstr("'tokenizer.ggml.token_type': expected one for each of the 265 tokens, found 266"));
}

TEST(GgufTokenizer, BadTokensAreNamed) {
  Words words;
  words.add("caf\xC3", kNormal);
  EXPECT_THAT(
      message_of(words.file(), ErrorCode::invalid_file),
      HasSubstr("key 'tokenizer.ggml.tokens': token 95: expected UTF-8, found the byte 0xC3 after 'caf'"));
  words = Words();
  words.add("a", kNormal);
  EXPECT_THAT(message_of(words.file(), ErrorCode::invalid_file), HasSubstr("token 'a' appears twice"));
  words = Words();
  words.add("long", 7);
  EXPECT_THAT(message_of(words.file(), ErrorCode::invalid_file),
              HasSubstr("token 95: expected a type from 0 to 6, found 7"));
  words = Words();
  words.add(std::string(70000, 'x'), kNormal);
  EXPECT_THAT(message_of(words.file(), ErrorCode::invalid_file),
              HasSubstr("token 95: expected at most 65536 bytes, found 70000"));
  GgufBytes none;
  none.string("tokenizer.ggml.model", "gpt2");
  EXPECT_THAT(message_of(none, ErrorCode::invalid_file), HasSubstr("expected a vocabulary, found none"));
}

TEST(GgufTokenizer, BadMergesAreNamed) {
  Words words;
  words.merges = {"a b"};
  EXPECT_THAT(message_of(words.file(), ErrorCode::invalid_file),
              HasSubstr("m.gguf: tokenizer.ggml.merges[0] ('a' + 'b'): the vocabulary has no token 'ab'"));
  for (const char* line : {"ab", "a b c", ""}) {
    words.merges = {line};
    EXPECT_THAT(message_of(words.file(), ErrorCode::invalid_file),
                HasSubstr(fmt::format("merge 0: expected 'left right', found '{}'", line)));
  }
}

TEST(GgufTokenizer, IdsOutsideTheVocabularyAreNamed) {
  for (const char* role : {"bos", "eos", "unknown", "padding"}) {
    GgufBytes file = small_pieces().file();
    file.number(fmt::format("tokenizer.ggml.{}_token_id", role), uint32_t{265});
    EXPECT_THAT(message_of(file, ErrorCode::invalid_file),
                HasSubstr(fmt::format(
                    "key 'tokenizer.ggml.{}_token_id': expected an integer between 0 and 264, found "
                    "265",
                    role)));
  }
  GgufBytes file = Words().file();
  file.boolean("tokenizer.ggml.add_bos_token", true);
  EXPECT_THAT(message_of(file, ErrorCode::invalid_file),
              HasSubstr("as add_bos_token asks for it, found no such key"));
}

TEST(GgufTokenizer, ScoresThatAreNoNumbersAreNamed) {
  Pieces pieces = small_pieces();
  pieces.scores[260] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message_of(pieces.file(), ErrorCode::invalid_file),
              HasSubstr("key 'tokenizer.ggml.scores': token 260: expected a finite score, found nan"));
}

// The splits of such pieces would take time and memory out of proportion to the file.
TEST(GgufTokenizer, PieceOfAbsurdLengthIsRefused) {
  Pieces pieces({});
  std::string piece;
  for (int i = 0; i < 1100; ++i) pieces.add(piece += 'a', static_cast<float>(-i), kNormal);
  EXPECT_THAT(message_of(pieces.file(), ErrorCode::invalid_file),
              HasSubstr("expected a piece of at most 1024 bytes"));
}

}  // namespace
}  // namespace ingot::text
