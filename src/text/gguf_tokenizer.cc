#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "format/json.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/merge_rules.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

using format::GgufMetadata;
using format::GgufStrings;
using nlohmann::json;

constexpr std::string_view kModel = "tokenizer.ggml.model";
constexpr std::string_view kPre = "tokenizer.ggml.pre";
constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kScores = "tokenizer.ggml.scores";
constexpr std::string_view kMerges = "tokenizer.ggml.merges";
constexpr std::string_view kSpace = "\u2581";  // SentencePiece's mark for a space

// Published tokens stay below 1 KiB.
constexpr size_t kMaxTokenBytes = 65536;

enum class TokenType { undefined, normal, unknown, control, user_defined, unused, byte };
constexpr int64_t kLastType = static_cast<int64_t>(TokenType::byte);

bool is_added(TokenType type) {
  return type == TokenType::unknown || type == TokenType::control || type == TokenType::user_defined;
}

class Reader {
 public:
  Reader(const GgufMetadata& metadata, std::string_view name)
      : metadata_(metadata), name_(name), tokens_(metadata.strings(kTokens)) {}

  GgufTokenizer read() {
    const std::string model = model_name();
    if (!has_vocabulary(metadata_)) {
      fail(ErrorCode::unsupported, "{}: this file has no vocabulary (key '{}': '{}'), so no text can be read",
           name_, kModel, model);
    }
    const bool sentencepiece = model == "llama";
    if (!sentencepiece && model != "gpt2") {
      fail(ErrorCode::unsupported, "{}: key '{}': '{}' is not supported; supported are gpt2, llama", name_,
           kModel, model);
    }
    check_tokens();
    read_types();
    read_vocabulary(sentencepiece);
    out_.bos = special("bos");
    out_.eos = special("eos");
    for (const std::string_view checked : {"unknown", "padding", "seperator", "mask", "eot", "eom"})
      special(checked);
    if (sentencepiece) {
      read_sentencepiece();
    } else {
      read_byte_level();
    }
    const auto keys = metadata_.keys();
    out_.has_chat_template = std::any_of(keys.begin(), keys.end(), [](std::string_view key) {
      return key == "tokenizer.chat_template" || key.starts_with("tokenizer.chat_template.");
    });
    return std::move(out_);
  }

 private:
  std::string model_name() const {
    return format::printable(std::string(metadata_.get_string_or(kModel, "")));
  }

  void check_tokens() const {
    if (tokens_.empty()) metadata_.refuse(kTokens, "expected a vocabulary, found none");
    if (tokens_.size() > static_cast<size_t>(kMaxTokenId) + 1) {
      metadata_.refuse(kTokens,
                       fmt::format("expected at most {} tokens, found {}", kMaxTokenId + 1, tokens_.size()));
    }
    for (size_t id = 0; id < tokens_.size(); ++id) {
      const std::string_view token = tokens_[id];
      if (token.size() > kMaxTokenBytes) {
        metadata_.refuse(kTokens, fmt::format("token {}: expected at most {} bytes, found {}", id,
                                              kMaxTokenBytes, token.size()));
      }
      if (const size_t valid = valid_utf8_prefix(token); valid != token.size()) {
        metadata_.refuse(kTokens, fmt::format("token {}: expected UTF-8, found the byte 0x{:02X} after '{}'",
                                              id, static_cast<unsigned char>(token[valid]),
                                              format::printable(std::string(token.substr(0, valid)))));
      }
    }
  }

  void check_count(std::string_view key, size_t found) const {
    if (found == tokens_.size()) return;
    metadata_.refuse(key,
                     fmt::format("expected one for each of the {} tokens, found {}", tokens_.size(), found));
  }

  void read_types() {
    types_.assign(tokens_.size(), TokenType::normal);
    if (!metadata_.has(kTypes)) return;
    const std::vector<int64_t> types = metadata_.ints(kTypes);
    check_count(kTypes, types.size());
    for (size_t id = 0; id < types.size(); ++id) {
      if (types[id] < 0 || types[id] > kLastType) {
        metadata_.refuse(kTypes, fmt::format("token {}: expected a type from 0 to {}, found {}", id,
                                             kLastType, types[id]));
      }
      types_[id] = static_cast<TokenType>(types[id]);
    }
  }

  // Writers fill the rows of the embedding that no token uses with unused tokens, named [PAD…]. The
  // vocabulary that was published does not have them.
  bool is_filler(size_t id, bool sentencepiece) const {
    if (types_[id] != TokenType::unused) return false;
    return !sentencepiece || tokens_[id].starts_with("[PAD");
  }

  void read_vocabulary(bool sentencepiece) {
    size_t bytes = 0;
    for (size_t id = 0; id < tokens_.size(); ++id) bytes += tokens_[id].size();
    out_.vocab.reserve(tokens_.size(), bytes);
    const std::string place = fmt::format("{}: key '{}'", name_, kTokens);
    std::string marked;
    for (size_t id = 0; id < tokens_.size(); ++id) {
      std::string_view token = tokens_[id];
      if (token.empty() || is_filler(id, sentencepiece)) continue;
      // Writers turn the marks of user-defined pieces into spaces.
      if (sentencepiece && types_[id] == TokenType::user_defined &&
          token.find(' ') != std::string_view::npos) {
        marked.clear();
        for (const char c : token) {
          if (c == ' ') {
            marked += kSpace;
          } else {
            marked += c;
          }
        }
        token = marked;
      }
      out_.vocab.add(token, static_cast<int64_t>(id), place);
      if (!is_added(types_[id])) continue;
      AddedToken added;
      added.id = static_cast<int32_t>(id);
      added.content = token;
      added.special = types_[id] != TokenType::user_defined;
      out_.added.push_back(std::move(added));
    }
  }

  // The id of a token by its role; nothing where the file does not name one.
  std::optional<int32_t> special(std::string_view role) const {
    const auto id = metadata_.optional_int(fmt::format("tokenizer.ggml.{}_token_id", role), 0,
                                           static_cast<int64_t>(tokens_.size()) - 1);
    if (!id) return std::nullopt;
    return static_cast<int32_t>(*id);
  }

  // BOS and EOS around every text, as a post-processor.
  json template_of(bool add_bos, bool add_eos) const {
    if (!add_bos && !add_eos) return nullptr;
    json single = json::array();
    json tokens = json::object();
    const auto put = [&](std::string_view role, std::optional<int32_t> id) {
      const std::string key = fmt::format("tokenizer.ggml.{}_token_id", role);
      if (!id)
        metadata_.refuse(key,
                         fmt::format("expected an id, as add_{}_token asks for it, found no such key", role));
      if (!out_.vocab.token(*id))
        metadata_.refuse(key, fmt::format("expected a token's id, found {}, which has none", *id));
      single.push_back({{"SpecialToken", {{"id", role}}}});
      tokens[std::string(role)] = {{"id", role}, {"ids", json::array({static_cast<uint32_t>(*id)})}};
    };
    if (add_bos) put("bos", out_.bos);
    single.push_back({{"Sequence", {{"id", "A"}}}});
    if (add_eos) put("eos", out_.eos);
    return {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", tokens}};
  }

  json template_of_flags(bool add_bos) const {
    return template_of(metadata_.get_bool_or("tokenizer.ggml.add_bos_token", add_bos),
                       metadata_.get_bool_or("tokenizer.ggml.add_eos_token", false));
  }

  void read_byte_level() {
    if (!metadata_.has(kPre)) {
      log().warn("{}: no key '{}': text is split as by GPT-2, which may not be how the model learned", name_,
                 kPre);
    }
    const std::string pre(metadata_.get_string_or(kPre, "default"));
    const auto rule = find_gguf_pre_tokenizer(pre);
    if (!rule) {
      fail(ErrorCode::unsupported, "{}: key '{}': '{}' is not supported; supported are {}", name_, kPre,
           format::printable(pre), gguf_pre_tokenizer_names());
    }
    if (metadata_.get_bool_or("tokenizer.ggml.add_space_prefix", false)) {
      fail(ErrorCode::unsupported,
           "{}: key 'tokenizer.ggml.add_space_prefix': true is not supported with '{}' gpt2", name_, kModel);
    }
    if (!metadata_.has(kMerges))
      metadata_.refuse(kMerges, "expected the merges of the vocabulary, found no such key");
    const GgufStrings lines = metadata_.strings(kMerges);
    MergeRules merges(out_.vocab, fmt::format("{}: {}", name_, kMerges), lines.size());
    for (size_t i = 0; i < lines.size(); ++i) {
      const std::string_view line = lines[i];
      const size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
        metadata_.refuse(kMerges, fmt::format("merge {}: expected 'left right', found '{}'", i,
                                              format::printable(std::string(line.substr(0, 200)))));
      }
      merges.add(line.substr(0, space), line.substr(space + 1));
    }
    out_.merges = merges.take();
    out_.settings = {{"normalizer", rule->normalizer},
                     {"pre_tokenizer", rule->pre_tokenizer},
                     {"post_processor", template_of_flags(rule->add_bos)},
                     {"decoder", {{"type", "ByteLevel"}}},
                     {"model", {{"type", "BPE"}, {"ignore_merges", rule->ignore_merges}}}};
  }

  void read_sentencepiece() {
    // Where the file names none, these are SentencePiece's own.
    const auto role = [&](std::string_view name, int32_t standard) -> std::optional<int32_t> {
      if (const auto id = special(name)) return id;
      return static_cast<size_t>(standard) < tokens_.size() ? std::optional(standard) : std::nullopt;
    };
    out_.bos = role("bos", 1);
    out_.eos = role("eos", 2);
    const int32_t unknown = special("unknown").value_or(0);
    const auto unknown_token = out_.vocab.token(unknown);
    if (!unknown_token) {
      metadata_.refuse("tokenizer.ggml.unknown_token_id",
                       fmt::format("expected a token's id, found {}, which has none", unknown));
    }
    read_scores();
    const bool prefix = metadata_.get_bool_or("tokenizer.ggml.add_space_prefix", true);
    json normalizers = json::array();
    if (prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
    normalizers.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}});
    json decoders = json::array({{{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}},
                                 {{"type", "ByteFallback"}},
                                 {{"type", "Fuse"}}});
    if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    out_.settings = {
        {"normalizer", {{"type", "Sequence"}, {"normalizers", normalizers}}},
        {"pre_tokenizer", nullptr},
        {"post_processor", template_of_flags(true)},
        {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
        {"model",
         {{"type", "BPE"}, {"unk_token", *unknown_token}, {"fuse_unk", true}, {"byte_fallback", true}}}};
  }

  void read_scores() {
    if (!metadata_.has(kScores))
      metadata_.refuse(kScores, "expected the scores of the pieces, found no such key");
    const std::vector<float> scores = metadata_.floats(kScores);
    check_count(kScores, scores.size());
    std::vector<bool> splits(scores.size());
    for (size_t id = 0; id < scores.size(); ++id) {
      if (!std::isfinite(scores[id])) {
        metadata_.refuse(kScores, fmt::format("token {}: expected a finite score, found {}", id, scores[id]));
      }
      splits[id] = types_[id] != TokenType::control && types_[id] != TokenType::unknown &&
                   types_[id] != TokenType::byte;
    }
    warn_of_equal_scores(scores);
    out_.merges = merges_from_scores(out_.vocab, scores, splits, fmt::format("{}: {}", name_, kTokens));
  }

  // Some converters wrote one score for all pieces, having read a tokenizer.json instead of scores.
  void warn_of_equal_scores(const std::vector<float>& scores) const {
    float first = 0;
    size_t pieces = 0;
    for (size_t id = 0; id < scores.size(); ++id) {
      if (types_[id] != TokenType::normal) continue;
      if (pieces++ == 0) first = scores[id];
      if (scores[id] != first) return;
    }
    if (pieces > 1) {
      log().warn(
          "{}: key '{}': all {} pieces have the score {}, which says nothing of how text is to be split",
          name_, kScores, pieces, first);
    }
  }

  const GgufMetadata& metadata_;
  std::string name_;
  GgufStrings tokens_;
  std::vector<TokenType> types_;
  GgufTokenizer out_;
};

}  // namespace

bool has_vocabulary(const GgufMetadata& metadata) {
  const std::string_view model = metadata.get_string_or(kModel, "none");
  return model != "none" && model != "no_vocab";
}

GgufTokenizer read_gguf_tokenizer(const GgufMetadata& metadata, std::string_view name) {
  return Reader(metadata, name).read();
}

}  // namespace ingot::text
