#include "api/quantize_tokenizer.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <set>
#include <utility>

#include "api/quantize_pre_tokenizer.h"
#include "base/check.h"
#include "base/mapped_file.h"
#include "format/json.h"
#include "text/merge_rules.h"
#include "text/post_processor.h"
#include "text/settings.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"

namespace ingot::api {
namespace {

namespace fs = std::filesystem;
using format::GenerationConfig;
using nlohmann::json;

// tokenizer.ggml.token_type
constexpr int32_t kNormal = 1;
constexpr int32_t kUnknown = 2;
constexpr int32_t kControl = 3;
constexpr int32_t kUserDefined = 4;
constexpr int32_t kUnused = 5;
constexpr int32_t kByte = 6;

constexpr std::string_view kSpace = "\u2581";  // SentencePiece's mark for a space
constexpr size_t kMostEnds = 3;                // EOS, EOT, EOM

bool is_byte_token(std::string_view token) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return token.size() == 6 && token.starts_with("<0x") && token.back() == '>' &&
         kDigits.find(token[3]) != std::string_view::npos && kDigits.find(token[4]) != std::string_view::npos;
}

json read_object_if_present(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return json::object();
  json value = format::read_json(path.string());
  if (!value.is_object()) {
    fail(ErrorCode::invalid_file, "{}: expected a JSON object, found {}", path.string(),
         format::brief_json(value));
  }
  return value;
}

class SectionReader {
 public:
  SectionReader(const std::string& folder, int64_t rows, const GenerationConfig& generation)
      : folder_(folder),
        path_((folder_ / "tokenizer.json").string()),
        rows_(rows),
        generation_(generation),
        tokenizer_(text::Tokenizer::load(folder)),
        file_(read_file()),
        config_(read_object_if_present(folder_ / "tokenizer_config.json")) {}

  TokenizerSection read() {
    collect_tokens();
    if (find_step("ByteLevel")) {
      read_byte_level();
    } else if (model().value("byte_fallback", false)) {
      read_sentencepiece();
    } else {
      unsupported("model", "BPE that is neither byte-level nor falls back to bytes");
    }
    read_special_ids();
    read_chat_template();
    return std::move(section_);
  }

 private:
  text::TokenizerJson read_file() const {
    const MappedFile file(path_);
    const auto bytes = file.bytes();
    return text::read_tokenizer_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path_);
  }

  [[noreturn]] void unsupported(std::string_view part, std::string_view what) const {
    fail(ErrorCode::unsupported, "{}: {}: GGUF cannot express {}", path_, part, what);
  }

  const json& part(const char* key) const {
    static const json kNull;
    const auto found = file_.settings.find(key);
    return found == file_.settings.end() ? kNull : *found;
  }
  const json& model() const { return part("model"); }

  /// Whether the pre-tokenizer or one of its steps has this type.
  bool find_step(std::string_view type) const {
    const json& pre = part("pre_tokenizer");
    if (pre.is_null()) return false;
    if (pre.value("type", "") == type) return true;
    const auto steps = pre.find("pretokenizers");
    return steps != pre.end() && std::any_of(steps->begin(), steps->end(), [&](const json& step) {
             return step.value("type", "") == type;
           });
  }

  void collect_tokens() {
    const auto count = static_cast<int64_t>(tokenizer_.vocab_size());
    if (count > rows_) {
      fail(ErrorCode::unsupported,
           "{}: the tokenizer has {} tokens, the embedding {} rows; GGUF needs a row each", path_, count,
           rows_);
    }
    section_.tokens.resize(static_cast<size_t>(rows_));
    section_.types.assign(static_cast<size_t>(rows_), kUnused);
    for (int64_t id = 0; id < rows_; ++id) {
      const auto token = file_.vocab.token(static_cast<int32_t>(id));
      // Rows without a token have a name that no text holds, as other converters write it.
      section_.tokens[static_cast<size_t>(id)] = token ? std::string(*token) : fmt::format("[PAD{}]", id);
      if (token) section_.types[static_cast<size_t>(id)] = kNormal;
    }
    const json& added = part("added_tokens");
    std::vector<std::string> stripped;
    for (const json& token : added) {
      const auto id = token.at("id").get<size_t>();
      section_.tokens[id] = token.at("content").get<std::string>();
      section_.types[id] = token.value("special", false) ? kControl : kUserDefined;
      if (token.value("lstrip", false) || token.value("rstrip", false) || token.value("single_word", false)) {
        stripped.push_back(format::printable(section_.tokens[id]));
      }
    }
    if (!stripped.empty()) {
      note(fmt::format("GGUF cannot say that tokens strip the spaces beside them or stand alone: '{}'",
                       fmt::join(stripped, "', '")));
    }
  }

  void note(std::string text) { section_.notes.push_back(std::move(text)); }

  void read_byte_level() {
    section_.model = "gpt2";
    const auto name = find_pre_tokenizer_name(file_.settings);
    if (!name) {
      unsupported("pre_tokenizer", fmt::format("this rule together with its normalizer and ignore_merges: {}",
                                               format::brief_json(part("pre_tokenizer"))));
    }
    section_.pre = name->name;
    if (!name->note.empty()) note(name->note);
    section_.merges.reserve(file_.merges.size() / 2);
    for (size_t i = 0; i + 1 < file_.merges.size(); i += 2) {
      std::string merge(file_.merges[i]);
      merge.append(" ").append(file_.merges[i + 1]);
      if (std::count(merge.begin(), merge.end(), ' ') != 1) {
        unsupported("model: merges", fmt::format("a part with a space in '{}'", format::printable(merge)));
      }
      section_.merges.push_back(std::move(merge));
    }
  }

  void read_sentencepiece() {
    section_.model = "llama";
    read_spaces();
    if (model().contains("unk_token") && model()["unk_token"].is_string()) {
      section_.unknown = tokenizer_.token_to_id(model()["unk_token"].get<std::string>());
    }
    if (!section_.unknown) unsupported("model", "a SentencePiece model without an unknown token");
    section_.types[static_cast<size_t>(*section_.unknown)] = kUnknown;
    for (size_t id = 0; id < section_.tokens.size(); ++id) {
      if (section_.types[id] == kNormal && is_byte_token(section_.tokens[id])) section_.types[id] = kByte;
    }
    read_scores();
  }

  /// How spaces become marks: by a normalizer, or by Metaspace.
  void read_spaces() {
    const json& normalizer = part("normalizer");
    const json& pre = part("pre_tokenizer");
    const json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}};
    const json prepend = {{"type", "Prepend"}, {"prepend", kSpace}};
    if (pre.is_null()) {
      json steps = json::array({normalizer});
      if (normalizer.is_object() && normalizer.value("type", "") == "Sequence")
        steps = normalizer["normalizers"];
      if (steps == json::array({prepend, replace})) {
        section_.add_space_prefix = true;
      } else if (steps == json::array({replace})) {
        section_.add_space_prefix = false;
      } else {
        unsupported("normalizer", fmt::format("{}", format::brief_json(normalizer)));
      }
      return;
    }
    if (!normalizer.is_null()) unsupported("normalizer", format::brief_json(normalizer));
    if (pre.value("type", "") != "Metaspace" || pre.value("replacement", std::string(kSpace)) != kSpace) {
      unsupported("pre_tokenizer", format::brief_json(pre));
    }
    if (pre.value("split", true)) refuse_inner_marks();
    const std::string scheme =
        pre.value("prepend_scheme", pre.value("add_prefix_space", true) ? "always" : "never");
    section_.add_space_prefix = scheme != "never";
    if (scheme == "first") {
      note(
          "GGUF cannot say that only the first text gets a space in front: text after a special token gets "
          "one too");
    } else if (scheme == "always") {
      note("GGUF cannot say that a text with a space in front gets no other: it gets one too");
    }
  }

  /// Metaspace that splits never forms a piece with a mark inside; SentencePiece would.
  void refuse_inner_marks() const {
    for (size_t i = 0; i + 1 < file_.merges.size(); i += 2) {
      if (file_.merges[i + 1].find(kSpace) == std::string_view::npos) continue;
      unsupported("pre_tokenizer",
                  fmt::format("that Metaspace splits the text, with pieces such as '{}{}' in the vocabulary",
                              file_.merges[i], file_.merges[i + 1]));
    }
  }

  /// Scores from which the same merges follow, in the same order.
  void read_scores() {
    text::Vocab vocab;
    for (size_t id = 0; id < section_.tokens.size(); ++id) {
      if (section_.types[id] != kUnused) vocab.add(section_.tokens[id], static_cast<int64_t>(id), path_);
    }
    text::MergeRules listed(vocab, path_ + ": model: merges", file_.merges.size() / 2);
    for (size_t i = 0; i + 1 < file_.merges.size(); i += 2) listed.add(file_.merges[i], file_.merges[i + 1]);
    const std::vector<text::MergeRule> rules = listed.take();

    // A piece's rank is that of its first merge. Where ranks rise with ids, as SentencePiece numbers its
    // pieces, the ids count in their place: those are the published scores.
    constexpr int64_t kNoRank = INT64_MAX;
    std::vector<int64_t> ranks(section_.tokens.size(), kNoRank);
    std::vector<int32_t> order;  // pieces by rank
    for (const text::MergeRule& rule : rules) {
      int64_t& rank = ranks[static_cast<size_t>(rule.product)];
      if (rank != kNoRank) continue;
      rank = static_cast<int64_t>(order.size());
      order.push_back(rule.product);
    }
    std::vector<bool> splits(section_.tokens.size());
    int64_t first_normal = kNoRank;
    for (size_t id = 0; id < splits.size(); ++id) {
      const int32_t type = section_.types[id];
      splits[id] = type != kControl && type != kUnknown && type != kByte && type != kUnused;
      if (splits[id]) first_normal = std::min(first_normal, static_cast<int64_t>(id));
    }
    const bool by_id = std::is_sorted(order.begin(), order.end());
    section_.scores.assign(section_.tokens.size(), 0.0F);
    for (size_t id = 0; id < splits.size(); ++id) {
      if (section_.types[id] == kUnused) section_.scores[id] = -10000;
      if (!splits[id]) continue;
      int64_t place = by_id ? static_cast<int64_t>(id) - first_normal : ranks[id];
      if (place == kNoRank) place = static_cast<int64_t>(order.size());  // never the product of a merge
      section_.scores[id] = -static_cast<float>(place);
    }
    compare(rules, text::merges_from_scores(vocab, section_.scores, splits, path_));
  }

  void compare(const std::vector<text::MergeRule>& listed, const std::vector<text::MergeRule>& derived) {
    const auto same = [](const text::MergeRule& a, const text::MergeRule& b) {
      return a.left == b.left && a.right == b.right;
    };
    if (std::equal(listed.begin(), listed.end(), derived.begin(), derived.end(), same)) return;
    // Merges of one piece in another order: they differ where two of them overlap in a word.
    const auto by_product = [](const std::vector<text::MergeRule>& rules) {
      std::vector<std::pair<int32_t, std::set<std::pair<int32_t, int32_t>>>> groups;
      for (const text::MergeRule& rule : rules) {
        if (groups.empty() || groups.back().first != rule.product)
          groups.emplace_back(rule.product, std::set<std::pair<int32_t, int32_t>>{});
        groups.back().second.emplace(rule.left, rule.right);
      }
      return groups;
    };
    if (by_product(listed) == by_product(derived)) {
      note(
          "the merges of one piece have an order that GGUF's scores cannot say; rare words may get other "
          "tokens");
      return;
    }
    unsupported("model: merges",
                fmt::format("these {} merges: they follow from no scores of the pieces ({} would)",
                            listed.size(), derived.size()));
  }

  /// A special token by its name in tokenizer_config.json.
  std::optional<int32_t> named(const char* key) const {
    const auto found = config_.find(key);
    if (found == config_.end()) return std::nullopt;
    const json* text = &*found;
    if (text->is_object() && text->contains("content")) text = &(*text)["content"];
    if (!text->is_string()) return std::nullopt;
    return tokenizer_.token_to_id(text->get<std::string>());
  }

  static std::optional<int32_t> id_of(std::optional<int64_t> id) {
    if (!id || *id < 0 || *id > INT32_MAX) return std::nullopt;
    return static_cast<int32_t>(*id);
  }

  void read_special_ids() {
    text::PostProcessor around;
    if (!part("post_processor").is_null()) {
      around = text::read_post_processor(
          text::Settings(part("post_processor"), fmt::format("{}: post_processor", path_)));
    }
    if (around.prefix.size() > 1 || around.suffix.size() > 1) {
      unsupported("post_processor", fmt::format("{} tokens before the text and {} after it; at most one each",
                                                around.prefix.size(), around.suffix.size()));
    }
    section_.add_bos = !around.prefix.empty();
    section_.add_eos = !around.suffix.empty();

    // What encode() puts there counts first; generate() begins and ends with what generation_config.json
    // says.
    section_.bos = id_of(generation_.bos_token_id);
    if (!section_.bos) section_.bos = named("bos_token");
    if (section_.add_bos) {
      if (section_.bos && *section_.bos != around.prefix[0]) {
        note(fmt::format("GGUF has one BOS token: {} as the post-processor says, not {}", around.prefix[0],
                         *section_.bos));
      }
      section_.bos = around.prefix[0];
    }
    const auto add_end = [&](std::optional<int32_t> id) {
      if (!id || std::find(section_.ends.begin(), section_.ends.end(), *id) != section_.ends.end()) return;
      section_.ends.push_back(*id);
    };
    const auto ends_text = [&](std::optional<int32_t> id) {
      const auto& ids = generation_.eos_token_ids;
      return id && std::find(ids.begin(), ids.end(), int64_t{*id}) != ids.end();
    };
    if (section_.add_eos) add_end(around.suffix[0]);
    if (const auto eos = named("eos_token"); ends_text(eos) || generation_.eos_token_ids.empty())
      add_end(eos);
    for (const int64_t id : generation_.eos_token_ids) add_end(id_of(id));
    if (section_.ends.size() > kMostEnds) {
      fail(ErrorCode::unsupported, "{}: GGUF cannot express more than {} tokens that end a text, found {}",
           folder_.string(), kMostEnds, section_.ends.size());
    }
    section_.pad = id_of(generation_.pad_token_id);
    if (!section_.pad) section_.pad = named("pad_token");
    for (const auto& id : {section_.bos, section_.pad}) check_row(id);
    for (const int32_t id : section_.ends) check_row(id);
  }

  void check_row(std::optional<int32_t> id) const {
    if (!id || *id < rows_) return;
    fail(ErrorCode::invalid_file, "{}: a special token has the id {}, the embedding {} rows",
         folder_.string(), *id, rows_);
  }

  void read_chat_template() {
    std::error_code ignored;
    const fs::path beside = folder_ / "chat_template.jinja";
    if (fs::exists(beside, ignored)) {
      const MappedFile file(beside.string());
      const auto bytes = file.bytes();
      section_.chat_template.emplace(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return;
    }
    const auto found = config_.find("chat_template");
    if (found == config_.end() || found->is_null()) return;
    if (found->is_string()) {
      section_.chat_template = found->get<std::string>();
      return;
    }
    size_t others = 0;
    for (const json& named : *found) {
      if (named.is_object() && named.value("name", "") == "default") {
        section_.chat_template = named.value("template", "");
      } else {
        ++others;
      }
    }
    if (others > 0) note(fmt::format("{} chat templates other than the default are left out", others));
  }

  fs::path folder_;
  std::string path_;
  int64_t rows_;
  const GenerationConfig& generation_;
  text::Tokenizer tokenizer_;
  text::TokenizerJson file_;
  json config_;
  TokenizerSection section_;
};

}  // namespace

TokenizerSection read_tokenizer_section(const std::string& folder, int64_t rows,
                                        const GenerationConfig& generation) {
  std::error_code ignored;
  if (!fs::exists(fs::path(folder) / "tokenizer.json", ignored)) {
    TokenizerSection none;
    none.model = "none";
    none.notes.emplace_back(
        "the folder has no tokenizer.json: the file brings no tokenizer and knows no text");
    return none;
  }
  return SectionReader(folder, rows, generation).read();
}

void write_tokenizer_section(const TokenizerSection& section, format::GgufWriter& writer) {
  const auto key = [](std::string_view name) { return fmt::format("tokenizer.ggml.{}", name); };
  const auto id = [&](std::string_view name, std::optional<int32_t> value) {
    if (value) writer.number(key(name), static_cast<uint32_t>(*value));
  };
  writer.string(key("model"), section.model);
  if (section.model == "none") return;
  // Other readers expect the key of every vocabulary; SentencePiece needs no rule.
  writer.string(key("pre"), section.pre.empty() ? "default" : section.pre);
  writer.strings(key("tokens"), section.tokens);
  if (!section.scores.empty()) writer.numbers<float>(key("scores"), section.scores);
  writer.numbers<int32_t>(key("token_type"), section.types);
  if (section.model == "gpt2") writer.strings(key("merges"), section.merges);
  id("bos_token_id", section.bos);
  constexpr std::string_view kEnds[] = {"eos_token_id", "eot_token_id", "eom_token_id"};
  for (size_t i = 0; i < section.ends.size(); ++i) id(kEnds[i], section.ends[i]);
  id("unknown_token_id", section.unknown);
  id("padding_token_id", section.pad);
  writer.boolean(key("add_bos_token"), section.add_bos);
  writer.boolean(key("add_eos_token"), section.add_eos);
  if (section.add_space_prefix) writer.boolean(key("add_space_prefix"), *section.add_space_prefix);
  if (section.chat_template) writer.string("tokenizer.chat_template", *section.chat_template);
}

}  // namespace ingot::api
