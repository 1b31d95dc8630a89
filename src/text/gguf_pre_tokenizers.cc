#include "text/gguf_pre_tokenizers.h"

#include <array>
#include <utility>

namespace ingot::text {
namespace {

using nlohmann::json;

// The splits as published in the tokenizer.json of the checkpoint that gave the name.
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Ranges of letters, written as code points: an editor may normalise some of these characters.
constexpr std::string_view kDeepseekLetters =
    "\\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF"
    "\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5"
    "\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-"
    "\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D"
    "\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-"
    "\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113"
    "\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149"
    "\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B"
    "\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-"
    "\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0"
    "-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943]+";
constexpr std::string_view kDeepseekPunctuation =
    "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";
constexpr std::string_view kDeepseekHan = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+";
constexpr std::string_view kDeepseekV3Han = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
constexpr std::string_view kDeepseekV3 =
    R"RE([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)RE"
    R"RE(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)RE";
json split(std::string_view regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}
json punctuation() {
  return {{"type", "Punctuation"}, {"behavior", "Contiguous"}};
}
json digits(bool individual) {
  return {{"type", "Digits"}, {"individual_digits", individual}};
}
/// `splits`: by GPT-2's regex.
json byte_level(bool splits) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", splits}};
}
json sequence(json::array_t steps) {
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}
json regex_words(std::string_view regex) {
  return sequence({split(regex), byte_level(false)});
}

json gpt2() {
  return byte_level(true);
}
json digit_by_digit() {
  return sequence({digits(true), byte_level(true)});
}
json llama3() {
  return regex_words(kLlama3);
}
json qwen2() {
  return regex_words(kQwen2);
}
json qwen35() {
  return regex_words(kQwen35);
}
json tekken() {
  return regex_words(kTekken);
}
json gpt4o() {
  return regex_words(kGpt4o);
}
json deepseek_llm() {
  return sequence({split("[\r\n]"), split(kDeepseekLetters), split(kDeepseekPunctuation), split(R"(\s+$)"),
                   split(kDeepseekHan), digits(true), byte_level(false)});
}
json deepseek_coder() {
  return sequence({split("[\r\n]"), split(R"(\s?\p{L}+)"), split(R"(\s?\p{P}+)"), split(kDeepseekHan),
                   digits(true), byte_level(false)});
}
json deepseek_v3() {
  return sequence({split(R"(\p{N}{1,3})"), split(kDeepseekV3Han), split(kDeepseekV3), byte_level(false)});
}
json falcon() {
  return sequence({punctuation(), byte_level(true), digits(false), split("[0-9][0-9][0-9]")});
}
json falcon3() {
  return sequence({punctuation(), byte_level(true), digits(true)});
}

struct Row {
  std::string_view name;
  json (*pre_tokenizer)();
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;
};

constexpr std::array kRows = {
    Row{"default", gpt2},  // of files from before the key had names
    Row{"gpt-2", gpt2},
    Row{"phi-2", gpt2},
    Row{"mpt", gpt2, /*nfc=*/true},
    Row{"olmo", gpt2, /*nfc=*/true},
    Row{"smollm", digit_by_digit},
    Row{"starcoder", digit_by_digit},
    Row{"refact", digit_by_digit},
    Row{"codeshell", digit_by_digit},
    Row{"command-r", digit_by_digit, /*nfc=*/true},
    Row{"llama3", llama3, false, /*ignore_merges=*/true, /*add_bos=*/true},
    Row{"llama-v3", llama3, false, /*ignore_merges=*/true, /*add_bos=*/true},
    Row{"llama-bpe", llama3, false, /*ignore_merges=*/true, /*add_bos=*/true},
    Row{"pixtral", llama3, false, /*ignore_merges=*/true, /*add_bos=*/true},
    Row{"lfm2", llama3, false, /*ignore_merges=*/true, /*add_bos=*/true},
    Row{"smaug-bpe", llama3},
    Row{"qwen2", qwen2, /*nfc=*/true},
    Row{"deepseek-r1-qwen", qwen2, /*nfc=*/true},
    Row{"qwen35", qwen35, /*nfc=*/true},
    Row{"tekken", tekken, false, /*ignore_merges=*/true, /*add_bos=*/true},
    Row{"mistral-nemo", tekken, false, /*ignore_merges=*/true, /*add_bos=*/true},
    Row{"gpt-4o", gpt4o},
    Row{"llama4", gpt4o},
    Row{"deepseek-llm", deepseek_llm},
    Row{"deepseek-coder", deepseek_coder},
    Row{"deepseek-v3", deepseek_v3},
    Row{"falcon", falcon},
    Row{"falcon3", falcon3},
};

}  // namespace

std::optional<GgufPreTokenizer> find_gguf_pre_tokenizer(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name != name) continue;
    return GgufPreTokenizer{.normalizer = row.nfc ? json::object({{"type", "NFC"}}) : json(),
                            .pre_tokenizer = row.pre_tokenizer(),
                            .ignore_merges = row.ignore_merges,
                            .add_bos = row.add_bos};
  }
  return std::nullopt;
}

std::string gguf_pre_tokenizer_names() {
  std::string names;
  for (const Row& row : kRows) names.append(names.empty() ? "" : ", ").append(row.name);
  return names;
}

}  // namespace ingot::text
