// Broken and unsupported tokenizer.json files: each names the file, the place, what was expected and what was
// found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ingot/error.h"
#include "text/tokenizer.h"

namespace ingot::text {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// A small valid file to break.
json good() {
  return json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
    "post_processor": null, "decoder": null,
    "added_tokens": [{"id": 3, "content": "<e>", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})");
}

struct Failure {
  ErrorCode code = ErrorCode::internal;
  std::string message = "no throw";
};

Failure failure_of(std::string_view text) {
  try {
    const Tokenizer tokenizer = Tokenizer::from_json(text, "tokenizer.json");
    tokenizer.encode("ab ba");
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

void expect_failure(std::string_view text, ErrorCode code, std::initializer_list<std::string> parts) {
  const Failure failure = failure_of(text);
  EXPECT_THAT(failure.message, testing::StartsWith("tokenizer.json: "));
  for (const auto& part : parts) EXPECT_THAT(failure.message, HasSubstr(part));
  EXPECT_EQ(to_string(failure.code), to_string(code)) << failure.message;
}

// Sets what a JSON pointer names, then expects a failure.
void expect_failure_with(const char* pointer, const char* value, ErrorCode code,
                         std::initializer_list<std::string> parts) {
  json file = good();
  file[json::json_pointer(pointer)] = json::parse(value);
  expect_failure(file.dump(), code, parts);
}

TEST(TokenizerJson, TheUnbrokenFileLoads) {
  const Tokenizer tokenizer = Tokenizer::from_json(good().dump(), "tokenizer.json");
  EXPECT_EQ(tokenizer.encode("ab<e>b"), (std::vector<int32_t>{2, 3, 1}));
}

TEST(TokenizerJson, MergesMayBeLinesOfText) {
  json file = good();
  file["model"]["merges"] = {"#version: 0.2", "a b"};
  EXPECT_EQ(Tokenizer::from_json(file.dump(), "tokenizer.json").encode("ab"), (std::vector<int32_t>{2}));
}

TEST(TokenizerJson, NotJsonIsRefused) {
  expect_failure("", ErrorCode::invalid_file, {"not valid JSON"});
  expect_failure("gibberish", ErrorCode::invalid_file, {"not valid JSON"});
  expect_failure(good().dump().substr(0, 200), ErrorCode::invalid_file, {"not valid JSON"});
  expect_failure("{\"a\": \"\xFF\"}", ErrorCode::invalid_file, {"not valid JSON"});
}

TEST(TokenizerJson, NestingOfAHundredThousandLevelsIsRefused) {
  expect_failure(std::string(100'000, '['), ErrorCode::invalid_file, {"nested deeper than 64 levels"});
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  expect_failure(objects, ErrorCode::invalid_file, {"nested deeper than 64 levels"});
  std::string merges = R"({"model":{"merges":)";
  merges += std::string(100'000, '[');
  expect_failure(merges, ErrorCode::invalid_file, {"model.merges[0]"});
}

TEST(TokenizerJson, RepeatedKeysAreRefused) {
  expect_failure(R"({"model": {}, "model": {}})", ErrorCode::invalid_file, {"repeats the key 'model'"});
  expect_failure(R"({"model": {"vocab": {}, "vocab": {}}})", ErrorCode::invalid_file,
                 {"repeats the key 'vocab'"});
  expect_failure(R"({"model": {"vocab": {"a": 0, "a": 1}}})", ErrorCode::invalid_file,
                 {"token 'a' appears twice"});
}

TEST(TokenizerJson, WrongTypesAreNamedWithTheirPlace) {
  expect_failure("[]", ErrorCode::invalid_file, {"expected a JSON object, found array"});
  expect_failure_with("/model", "3", ErrorCode::invalid_file,
                      {"model: expected a JSON object, found number"});
  expect_failure_with("/model/vocab", "[]", ErrorCode::invalid_file,
                      {"model: vocab: expected an object", "found []"});
  expect_failure_with("/model/merges", "{}", ErrorCode::invalid_file,
                      {"model: merges: expected a list", "found {}"});
  expect_failure_with("/model/byte_fallback", "1", ErrorCode::invalid_file,
                      {"byte_fallback: expected true or false, found 1"});
  expect_failure_with("/model/vocab/a", "\"x\"", ErrorCode::invalid_file,
                      {"model.vocab", "id of 'a'", "found a string"});
  expect_failure_with("/model/vocab/a", "0.5", ErrorCode::invalid_file, {"model.vocab", "found a fraction"});
  expect_failure_with("/model/vocab/a", "{}", ErrorCode::invalid_file, {"model.vocab", "found an object"});
  expect_failure_with("/model/merges/0", "7", ErrorCode::invalid_file, {"model.merges[0]", "found a number"});
  expect_failure_with("/model/merges/0", "{}", ErrorCode::invalid_file,
                      {"model.merges[0]", "found an object"});
  expect_failure_with("/model/merges/0", "[\"a\"]", ErrorCode::invalid_file,
                      {"model.merges[0]", "found a list of 1"});
  expect_failure_with("/model/merges/0", "[\"a\",\"b\",\"c\"]", ErrorCode::invalid_file,
                      {"model.merges[0]", "more than two"});
  expect_failure_with("/model/merges/0", "[\"a\",[]]", ErrorCode::invalid_file,
                      {"model.merges", "found a list"});
  expect_failure_with("/model/merges/0", "\"a b c\"", ErrorCode::invalid_file,
                      {"model.merges[0]", "found 'a b c'"});
  expect_failure_with("/added_tokens", "{}", ErrorCode::invalid_file, {"added_tokens: expected a list"});
  expect_failure_with("/added_tokens/0", "3", ErrorCode::invalid_file,
                      {"added_tokens[0]: expected a JSON object"});
  expect_failure_with("/added_tokens/0/special", "0", ErrorCode::invalid_file,
                      {"added_tokens[0]: special: expected true or false"});
  expect_failure_with("/normalizer", "\"NFC\"", ErrorCode::invalid_file,
                      {"normalizer: expected a JSON object, found string"});
  expect_failure_with("/pre_tokenizer", R"({"type": "Digits"})", ErrorCode::invalid_file,
                      {"pre_tokenizer: expected the key 'individual_digits'"});
  expect_failure_with("/pre_tokenizer", R"({"type": "Metaspace", "replacement": "ab"})",
                      ErrorCode::invalid_file,
                      {"pre_tokenizer: replacement: expected one character, found \"ab\""});
  expect_failure_with("/decoder", R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})",
                      ErrorCode::invalid_file, {"decoder: start: expected 0 or more, found -1"});
}

TEST(TokenizerJson, BpeWithoutVocabularyOrMergesIsRefused) {
  json file = good();
  file["model"].erase("vocab");
  expect_failure(file.dump(), ErrorCode::invalid_file, {"model: expected the key 'vocab', found none"});
  file = good();
  file["model"].erase("merges");
  expect_failure(file.dump(), ErrorCode::invalid_file, {"model: expected the key 'merges', found none"});
  file = good();
  file.erase("model");
  expect_failure(file.dump(), ErrorCode::invalid_file, {"expected the key 'model', found none"});
}

TEST(TokenizerJson, IdsOutOfRangeOrTakenAreRefused) {
  expect_failure_with("/model/vocab/a", "1", ErrorCode::invalid_file, {"have the same id 1"});
  expect_failure_with("/model/vocab/a", "-1", ErrorCode::invalid_file, {"token 'a'", "found -1"});
  expect_failure_with("/model/vocab/a", "4194304", ErrorCode::invalid_file,
                      {"expected an id from 0 to 4194303, found 4194304"});
  expect_failure_with("/model/vocab/a", "18446744073709551615", ErrorCode::invalid_file, {"token 'a'"});
  expect_failure_with("/added_tokens/0/id", "1", ErrorCode::invalid_file, {"'<e>' has the id 1", "is 'b'"});
  expect_failure_with("/added_tokens/0/id", "-3", ErrorCode::invalid_file,
                      {"added_tokens[0]: id", "found -3"});
  expect_failure_with("/added_tokens/0/id", "99999999", ErrorCode::invalid_file,
                      {"added_tokens[0]: id", "found 99999999"});
  expect_failure_with("/added_tokens/0/content", "\"a\"", ErrorCode::invalid_file,
                      {"'a' has the id 3, in model.vocab it has 0"});
  json file = good();
  file["added_tokens"].push_back(file["added_tokens"][0]);
  expect_failure(file.dump(), ErrorCode::invalid_file, {"'<e>' appears twice"});
  file["added_tokens"][1]["content"] = "<f>";
  expect_failure(file.dump(), ErrorCode::invalid_file, {"have the same id 3"});
}

TEST(TokenizerJson, MergesOfAbsentTokensAreRefused) {
  expect_failure_with("/model/merges/0/0", "\"x\"", ErrorCode::invalid_file,
                      {"merges[0] ('x' + 'b')", "the vocabulary has no token 'x'"});
  expect_failure_with("/model/merges/0", "[\"b\", \"a\"]", ErrorCode::invalid_file,
                      {"the vocabulary has no token 'ba'"});
}

TEST(TokenizerJson, WhatIsNotSupportedIsNamedWithWhatIs) {
  expect_failure_with("/model/type", "\"Unigram\"", ErrorCode::unsupported,
                      {"model 'Unigram'", "supported are BPE"});
  expect_failure_with("/normalizer", R"({"type": "Lowercase"})", ErrorCode::unsupported,
                      {"normalizer 'Lowercase'", "supported are NFC"});
  expect_failure_with(
      "/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}]})",
      ErrorCode::unsupported, {"pre_tokenizer.pretokenizers[0]", "'BertPreTokenizer'", "ByteLevel"});
  expect_failure_with("/decoder", R"({"type": "CTC"})", ErrorCode::unsupported,
                      {"decoder 'CTC'", "ByteFallback"});
  expect_failure_with("/post_processor", R"({"type": "BertProcessing"})", ErrorCode::unsupported,
                      {"post-processor 'BertProcessing'", "TemplateProcessing"});
  expect_failure_with("/model/dropout", "0.1", ErrorCode::unsupported,
                      {"dropout: expected null or 0, found 0.1"});
  expect_failure_with("/model/continuing_subword_prefix", "\"##\"", ErrorCode::unsupported,
                      {"continuing_subword_prefix"});
  expect_failure_with("/model/end_of_word_suffix", "\"</w>\"", ErrorCode::unsupported,
                      {"end_of_word_suffix"});
  expect_failure_with("/model/novelty", "1", ErrorCode::unsupported,
                      {"the option 'novelty'", "ignore_merges"});
  expect_failure_with("/novelty", "1", ErrorCode::unsupported, {"the option 'novelty'", "pre_tokenizer"});
  expect_failure_with("/version", "\"2.0\"", ErrorCode::unsupported, {"expected version 1.0, found \"2.0\""});
  expect_failure_with(
      "/pre_tokenizer",
      R"({"type": "Split", "pattern": {"String": " "}, "behavior": "Sideways", "invert": false})",
      ErrorCode::unsupported, {"behavior 'Sideways'", "MergedWithNext"});
  expect_failure_with("/normalizer", R"({"type": "Replace", "pattern": {"String": ""}, "content": "x"})",
                      ErrorCode::unsupported, {"normalizer.pattern", "found an empty one"});
}

TEST(TokenizerJson, UnknownTokensMustExist) {
  expect_failure_with("/model/unk_token", "\"<unk>\"", ErrorCode::invalid_file,
                      {"unk_token: expected a token of the vocabulary, found \"<unk>\""});
}

TEST(TokenizerJson, TemplatesMustFit) {
  const auto with = [](const char* single, const char* ids) {
    return std::string(R"({"type": "TemplateProcessing", "single": )") + single +
           R"(, "pair": [], "special_tokens": {"<e>": {"id": "<e>", "ids": )" + ids +
           R"(, "tokens": ["<e>"]}}})";
  };
  const char* good_single =
      R"([{"SpecialToken": {"id": "<e>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}])";
  expect_failure_with("/post_processor", with(good_single, "[77]").c_str(), ErrorCode::invalid_file,
                      {"post_processor: no token has the id 77"});
  expect_failure_with("/post_processor", with(good_single, "[-1]").c_str(), ErrorCode::invalid_file,
                      {"ids: expected a list of token ids"});
  expect_failure_with("/post_processor", with("[]", "[3]").c_str(), ErrorCode::invalid_file,
                      {"single: expected a template with the sequence A"});
  expect_failure_with("/post_processor", with(R"([{"Sequence": {"id": "B", "type_id": 0}}])", "[3]").c_str(),
                      ErrorCode::unsupported, {"found B"});
  expect_failure_with("/post_processor",
                      with(R"([{"SpecialToken": {"id": "<x>", "type_id": 0}}])", "[3]").c_str(),
                      ErrorCode::invalid_file, {"expected the key '<x>', found none"});
}

TEST(TokenizerJson, BadRegexesAreNamed) {
  const auto split = [](const std::string& regex) {
    return json{
        {"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}}
        .dump();
  };
  for (const auto* regex :
       {"(", "a)", "[a", "*a", "\\p{Nonsense}", "\\p{L", "a\\", "(?<=a*)b", "\\x{110000}", "\\x{zz}"}) {
    expect_failure_with("/pre_tokenizer", split(regex).c_str(), ErrorCode::invalid_file,
                        {"pre_tokenizer.pattern: regex", regex});
  }
  for (const auto* regex : {"(?m)a", "[a[b]]", "[a&&b]", "\\1", "\\bx", "(?<name>a)", "[[:alpha:]]", "\\X",
                            "(*FAIL)", "(?{x})"}) {
    expect_failure_with("/pre_tokenizer", split(regex).c_str(), ErrorCode::unsupported,
                        {"pre_tokenizer.pattern: regex", "is not supported"});
  }
  expect_failure_with("/pre_tokenizer", split(std::string(70'000, 'a')).c_str(), ErrorCode::unsupported,
                      {"at most 65536 bytes"});
}

TEST(TokenizerJson, ARegexThatNeverEndsIsGivenUp) {
  json file = good();
  file["pre_tokenizer"] = {{"type", "Split"},
                           {"pattern", {{"Regex", "(x+x+)+[yz]"}}},
                           {"behavior", "Isolated"},
                           {"invert", false}};
  const Tokenizer tokenizer = Tokenizer::from_json(file.dump(), "tokenizer.json");
  try {
    tokenizer.encode(std::string(64, 'x'));
    FAIL() << "no throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("(x+x+)+[yz]"));
    EXPECT_THAT(error.what(), HasSubstr("gives up on a text of 64 bytes"));
  }
}

}  // namespace
}  // namespace ingot::text
