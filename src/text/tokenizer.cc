#include "text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/mapped_file.h"
#include "format/json.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoders.h"
#include "text/gguf_tokenizer.h"
#include "text/merge_rules.h"
#include "text/normalizers.h"
#include "text/post_processor.h"
#include "text/pre_tokenizers.h"
#include "text/scratch.h"
#include "text/settings.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace ingot::text {

using nlohmann::json;

struct Tokenizer::Parts {
  explicit Parts(std::string_view file) : name(file) {}

  const std::string name;  // of the file, for messages
  Vocab vocab;             // the model's tokens; the model refers to it
  std::unique_ptr<const Bpe> model;
  std::unique_ptr<Normalizer> normalizer;
  PreTokenizerChain pre_tokenizer;
  PostProcessor post_processor;
  std::unique_ptr<Decoder> decoder;

  std::vector<AddedToken> added;  // sorted by id
  std::map<std::string, int32_t, std::less<>> added_ids;
  std::vector<std::string> added_decoded;  // what each of `added` is for the decoder
  std::vector<bool> skipped;               // by id: decode() may leave it out
  AddedTokenFinder raw_finder;             // tokens looked for in the text as given …
  AddedTokenFinder normalized_finder;      // … and in the normalized text

  bool has_chat_template = false;
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  mutable ScratchPool scratch;

  const AddedToken* find_added(int32_t id) const;
  size_t id_end() const;
  std::string_view token(int32_t id) const;
  std::string_view decoded_token(int32_t id) const;
  std::optional<int32_t> find(std::string_view token) const;

  void read(const json& root, std::span<const MergeRule> merges, std::vector<AddedToken> tokens);
  void take_added_tokens(std::vector<AddedToken> tokens);
  void read_config(const json& config, const std::string& file);

  void encode_piece(Piece piece, Scratch& work, std::vector<int32_t>& ids) const;
  void encode_text(std::string_view text, Scratch& work, std::vector<int32_t>& ids) const;
};

namespace {

AddedToken read_added_token(const Settings& settings) {
  settings.allow_only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
  AddedToken token;
  const int64_t id = settings.integer("id");
  if (id < 0 || id > kMaxTokenId) settings.wrong("id", fmt::format("an id from 0 to {}", kMaxTokenId));
  token.id = static_cast<int32_t>(id);
  token.content = settings.string("content");
  token.special = settings.boolean("special");
  token.normalized = settings.boolean("normalized");
  token.single_word = settings.boolean("single_word");
  token.lstrip = settings.boolean("lstrip");
  token.rstrip = settings.boolean("rstrip");
  return token;
}

std::vector<AddedToken> read_added_tokens(const json& list, std::string_view name) {
  if (!list.is_array()) fail(ErrorCode::invalid_file, "{}: added_tokens: expected a list", name);
  std::vector<AddedToken> tokens;
  for (size_t i = 0; i < list.size(); ++i)
    tokens.push_back(read_added_token(Settings(list[i], fmt::format("{}: added_tokens[{}]", name, i))));
  return tokens;
}

}  // namespace

const AddedToken* Tokenizer::Parts::find_added(int32_t id) const {
  const auto at = std::lower_bound(added.begin(), added.end(), id,
                                   [](const AddedToken& token, int32_t x) { return token.id < x; });
  return at != added.end() && at->id == id ? &*at : nullptr;
}

size_t Tokenizer::Parts::id_end() const {
  return std::max(vocab.id_end(), added.empty() ? size_t{0} : static_cast<size_t>(added.back().id) + 1);
}

std::string_view Tokenizer::Parts::token(int32_t id) const {
  if (const AddedToken* found = find_added(id)) return found->content;
  if (const auto found = vocab.token(id)) return *found;
  fail(ErrorCode::invalid_argument, "{}: no token has the id {}; the ids are below {}", name, id, id_end());
}

std::string_view Tokenizer::Parts::decoded_token(int32_t id) const {
  if (const AddedToken* found = find_added(id))
    return added_decoded[static_cast<size_t>(found - added.data())];
  return token(id);
}

std::optional<int32_t> Tokenizer::Parts::find(std::string_view token) const {
  const auto found = added_ids.find(token);
  return found != added_ids.end() ? std::optional(found->second) : vocab.find(token);
}

void Tokenizer::Parts::read(const json& root, std::span<const MergeRule> merges,
                            std::vector<AddedToken> tokens) {
  const Settings settings(root, name);
  settings.allow_only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                       "post_processor", "decoder", "model"});
  if (settings.has("version") && settings.string("version") != "1.0") {
    fail(ErrorCode::unsupported, "{}: expected version 1.0, found {}", name,
         settings.value("version").dump());
  }
  const auto part = [&](std::string_view key) {
    return Settings(settings.value(key), fmt::format("{}: {}", name, key));
  };
  if (settings.has("normalizer")) normalizer = read_normalizer(part("normalizer"));
  if (settings.has("pre_tokenizer")) pre_tokenizer = read_pre_tokenizer(part("pre_tokenizer"));
  if (settings.has("post_processor")) post_processor = read_post_processor(part("post_processor"));
  decoder = settings.has("decoder") ? read_decoder(part("decoder")) : make_joining_decoder();
  model = std::make_unique<Bpe>(part("model"), vocab, merges, pre_tokenizer.byte_level);
  take_added_tokens(std::move(tokens));
  for (const auto* ids : {&post_processor.prefix, &post_processor.suffix}) {
    for (const int32_t id : *ids) {
      if (find_added(id) == nullptr && !vocab.token(id)) {
        fail(ErrorCode::invalid_file, "{}: post_processor: no token has the id {}; the ids are below {}",
             name, id, id_end());
      }
    }
  }
}

void Tokenizer::Parts::take_added_tokens(std::vector<AddedToken> tokens) {
  for (AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    const auto in_model = vocab.find(token.content);
    if (in_model && *in_model != token.id) {
      fail(ErrorCode::invalid_file, "{}: added_tokens: '{}' has the id {}, in model.vocab it has {}", name,
           token.content, token.id, *in_model);
    }
    if (const auto other = vocab.token(token.id); other && *other != token.content) {
      fail(ErrorCode::invalid_file, "{}: added_tokens: '{}' has the id {}, which in model.vocab is '{}'",
           name, token.content, token.id, *other);
    }
    if (!added_ids.emplace(token.content, token.id).second) {
      fail(ErrorCode::invalid_file, "{}: added_tokens: '{}' appears twice", name, token.content);
    }
    added.push_back(std::move(token));
  }
  std::sort(added.begin(), added.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  skipped.assign(id_end(), false);
  MatchState match;
  for (const AddedToken& token : added) {
    if (!added_decoded.empty() && added[added_decoded.size() - 1].id == token.id) {
      fail(ErrorCode::invalid_file, "{}: added_tokens: '{}' and '{}' have the same id {}", name,
           added[added_decoded.size() - 1].content, token.content, token.id);
    }
    std::string text = token.content;
    if (token.normalized && normalizer) normalizer->apply(text, match);
    (token.normalized ? normalized_finder : raw_finder).add(text, token);
    added_decoded.push_back(std::move(text));
  }
  raw_finder.finish();
  normalized_finder.finish();
  for (size_t i = 0; i < added.size(); ++i) {  // tokenizers goes by the spelling
    const auto same = added_ids.find(added_decoded[i]);
    skipped[static_cast<size_t>(added[i].id)] = same != added_ids.end() && find_added(same->second)->special;
  }
}

void Tokenizer::Parts::read_config(const json& config, const std::string& file) {
  const Settings settings(config, file);
  const auto named = [&](std::string_view key) -> std::optional<int32_t> {
    if (!settings.has(key)) return std::nullopt;
    const json& value = settings.value(key);
    return find(value.is_object() ? settings.object(key).string("content") : settings.string(key));
  };
  bos = named("bos_token");
  eos = named("eos_token");
  has_chat_template = settings.has("chat_template");
}

void Tokenizer::Parts::encode_piece(Piece piece, Scratch& work, std::vector<int32_t>& ids) const {
  if (!pre_tokenizer.first) return model->encode(piece.text, work.bpe, ids);
  if (work.buffers.size() < pre_tokenizer.buffers) work.buffers.resize(pre_tokenizer.buffers);
  pre_tokenizer.first->split(piece, work, [&](Piece word) { model->encode(word.text, work.bpe, ids); });
}

void Tokenizer::Parts::encode_text(std::string_view text, Scratch& work, std::vector<int32_t>& ids) const {
  const auto put = [&](int32_t id) { ids.push_back(id); };
  std::string rewritten;
  const auto gap = [&](size_t begin, size_t end) {
    std::string_view part = text.substr(begin, end - begin);
    if (normalizer) {
      rewritten = part;
      normalizer->apply(rewritten, work.match);
      part = rewritten;
    }
    const auto normalized_gap = [&](size_t from, size_t to) {
      encode_piece({part.substr(from, to - from), begin == 0 && from == 0}, work, ids);
    };
    normalized_finder.split(part, normalized_gap, put);
  };
  raw_finder.split(text, gap, put);
}

Tokenizer::Tokenizer(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::from_json(std::string_view text, std::string_view name) {
  auto parts = std::make_unique<Parts>(name);
  TokenizerJson file = read_tokenizer_json(text, name);
  const Settings root(file.settings, parts->name);
  const Settings model(root.value("model"), fmt::format("{}: model", name));
  const std::string type = model.type();
  if (!type.empty() && type != "BPE") model.unsupported_type("model", "BPE");
  if (!file.has_vocab) {
    if (model.has("vocab")) model.wrong("vocab", "an object of tokens and ids");
    fail(ErrorCode::invalid_file, "{}: model: expected the key 'vocab', found none", name);
  }
  if (!file.has_merges) {
    if (model.has("merges")) model.wrong("merges", "a list of merges");
    fail(ErrorCode::invalid_file, "{}: model: expected the key 'merges', found none", name);
  }
  parts->vocab = std::move(file.vocab);
  MergeRules merges(parts->vocab, fmt::format("{}: model: merges", name), file.merges.size() / 2);
  for (size_t i = 0; i + 1 < file.merges.size(); i += 2) merges.add(file.merges[i], file.merges[i + 1]);
  std::vector<AddedToken> added;
  if (root.has("added_tokens")) added = read_added_tokens(root.value("added_tokens"), name);
  parts->read(file.settings, merges.take(), std::move(added));
  return Tokenizer(std::move(parts));
}

Tokenizer Tokenizer::from_gguf(const format::GgufMetadata& metadata, std::string_view name) {
  GgufTokenizer file = read_gguf_tokenizer(metadata, name);
  auto parts = std::make_unique<Parts>(name);
  parts->vocab = std::move(file.vocab);
  parts->read(file.settings, file.merges, std::move(file.added));
  parts->bos = file.bos;
  parts->eos = file.eos;
  parts->has_chat_template = file.has_chat_template;
  return Tokenizer(std::move(parts));
}

Tokenizer Tokenizer::load(const std::string& folder) {
  const std::filesystem::path root(folder);
  const std::string path = (root / "tokenizer.json").string();
  if (!std::filesystem::exists(path)) {
    fail(ErrorCode::not_found,
         "{}: expected the tokenizer of the checkpoint in this file, found no such file", path);
  }
  const MappedFile file(path);
  const auto bytes = file.bytes();
  Tokenizer tokenizer = from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
  auto& parts = const_cast<Parts&>(*tokenizer.parts_);  // not shared yet
  const std::string config = (root / "tokenizer_config.json").string();
  if (std::filesystem::exists(config)) parts.read_config(format::read_json(config), config);
  if (std::filesystem::exists(root / "chat_template.jinja")) parts.has_chat_template = true;
  return tokenizer;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  std::string repaired;
  if (valid_utf8_prefix(text) != text.size()) {
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);  // English takes about four bytes a token
  if (add_special_tokens) ids = parts_->post_processor.prefix;
  ScratchPool::Loan scratch(parts_->scratch);
  parts_->encode_text(text, *scratch, ids);
  if (add_special_tokens) {
    ids.insert(ids.end(), parts_->post_processor.suffix.begin(), parts_->post_processor.suffix.end());
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  StreamDecoder decoder(*this, skip_special_tokens);
  for (const int32_t id : ids) decoder.feed(id);
  return decoder.finish();
}

size_t Tokenizer::vocab_size() const {
  return parts_->id_end();
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  return parts_->find(token);
}

std::string_view Tokenizer::id_to_token(int32_t id) const {
  return parts_->token(id);
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = parts_->find_added(id);
  return token != nullptr && token->special;
}

bool Tokenizer::has_chat_template() const {
  return parts_->has_chat_template;
}
std::optional<int32_t> Tokenizer::bos_id() const {
  return parts_->bos;
}
std::optional<int32_t> Tokenizer::eos_id() const {
  return parts_->eos;
}

namespace {

// The end of every chain of decoder steps.
class Collect : public DecoderStep {
 public:
  explicit Collect(std::string& out) : out_(out) {}
  void text(std::string_view part) override { out_ += part; }
  void end_token() override {}
  void finish() override {}

 private:
  std::string& out_;
};

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : parts_(tokenizer.parts_.get()),
      skip_special_tokens_(skip_special_tokens),
      out_(std::make_unique<std::string>()) {
  chain_.push_back(std::make_unique<Collect>(*out_));
  parts_->decoder->start(chain_);
}

StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;

void StreamDecoder::feed(int32_t id) {
  const std::string_view token = parts_->decoded_token(id);
  const auto index = static_cast<size_t>(id);
  if (skip_special_tokens_ && index < parts_->skipped.size() && parts_->skipped[index]) return;
  chain_.back()->text(token);
  chain_.back()->end_token();
}

std::string StreamDecoder::push(int32_t id) {
  feed(id);
  return std::exchange(*out_, {});
}

std::string StreamDecoder::finish() {
  chain_.back()->finish();
  return std::exchange(*out_, {});
}

}  // namespace ingot::text
