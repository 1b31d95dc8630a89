#include "api/quantize_pre_tokenizer.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "text/gguf_pre_tokenizers.h"

namespace ingot::api {
namespace {

using nlohmann::json;

constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// One name for each rule: where several say the same, the one that other readers know best.
constexpr std::array<std::string_view, 15> kNames = {
    "gpt-2",       "smollm",    "llama-bpe", "qwen2", "tekken",    "gpt-4o", "deepseek-llm", "deepseek-coder",
    "deepseek-v3", "smaug-bpe", "qwen35",    "mpt",   "command-r", "falcon", "falcon3",
};

/// Null for an absent key.
const json& at(const json& object, const char* key) {
  static const json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

/// Patterns that say the same in other words.
std::string plain_regex(const json& pattern) {
  std::string regex;
  if (const json& literal = at(pattern, "String"); literal.is_string()) {
    for (const char c : literal.get<std::string>()) {
      if (std::string_view(R"(\^$.|?*+()[]{})").find(c) != std::string_view::npos) regex += '\\';
      regex += c;
    }
    return regex;
  }
  const json& given = at(pattern, "Regex");
  if (!given.is_string()) return pattern.dump();
  const auto text = given.get<std::string>();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      if (text[i + 1] != '"') regex += text[i];  // an escaped quote is a quote
      regex += text[++i];
    } else {
      regex += text[i];
    }
  }
  return regex;
}

/// Appends the steps of a pre-tokenizer, each spelt in one way.
void append_steps(const json& step, std::vector<std::string>& steps) {
  const std::string type = step.is_object() ? step.value("type", "") : "";
  if (type == "Sequence") {
    for (const json& inner : at(step, "pretokenizers")) append_steps(inner, steps);
  } else if (type == "Split") {
    std::string behavior = step.value("behavior", "");
    bool invert = step.value("invert", false);
    // Rules that match all of a text: what is matched is kept, and nothing is removed.
    if (behavior == "Removed" && invert) {
      behavior = "Isolated";
      invert = false;
    }
    const std::string regex = plain_regex(at(step, "pattern"));
    if (regex == R"(\p{N})" && behavior == "Isolated" && !invert) {
      steps.emplace_back("digits true");
    } else {
      steps.push_back(fmt::format("split {} {} {}", behavior, invert, regex));
    }
  } else if (type == "Digits") {
    steps.push_back(fmt::format("digits {}", step.value("individual_digits", false)));
  } else if (type == "ByteLevel") {
    if (step.value("add_prefix_space", true)) steps.emplace_back("space");
    if (step.value("use_regex", true)) steps.push_back(fmt::format("split Isolated false {}", kGpt2Regex));
    steps.emplace_back("bytes");
  } else if (!step.is_null()) {
    steps.push_back(step.dump());
  }
}

std::vector<std::string> steps_of(const json& pre_tokenizer) {
  std::vector<std::string> steps;
  append_steps(pre_tokenizer, steps);
  return steps;
}

/// The types of the normalizers in order; of others than normal forms all they say.
std::string normal_form(const json& normalizer) {
  if (normalizer.is_null()) return "";
  const std::string type = normalizer.value("type", "");
  if (type == "NFC") return type;
  if (type != "Sequence") return normalizer.dump();
  std::string all;
  for (const json& inner : at(normalizer, "normalizers")) all += normal_form(inner);
  return all;
}

}  // namespace

std::optional<PreTokenizerName> find_pre_tokenizer_name(const json& tokenizer) {
  const std::vector<std::string> steps = steps_of(at(tokenizer, "pre_tokenizer"));
  const std::string form = normal_form(at(tokenizer, "normalizer"));
  const json& model = at(tokenizer, "model");
  const bool ignore_merges = model.is_object() && model.value("ignore_merges", false);
  std::optional<PreTokenizerName> nearly;
  for (const std::string_view name : kNames) {
    const auto published = text::find_gguf_pre_tokenizer(name);
    if (!published || published->ignore_merges != ignore_merges) continue;
    if (steps_of(published->pre_tokenizer) != steps) continue;
    const std::string its_form = normal_form(published->normalizer);
    if (its_form == form) return PreTokenizerName{.name = name, .note = ""};
    // NFC or nothing: the same but for texts in another form, which are rare.
    const bool is_near = (form.empty() && its_form == "NFC") || (form == "NFC" && its_form.empty());
    if (!is_near || nearly) continue;
    nearly = PreTokenizerName{
        .name = name,
        .note = fmt::format("the tokenizer {} texts to Unicode's form C, '{}' in GGUF {}: texts in another "
                            "form get other tokens",
                            form.empty() ? "does not bring" : "brings", name,
                            form.empty() ? "does" : "does not")};
  }
  return nearly;
}

}  // namespace ingot::api
