// The tokenizer's own contract: folders, errors of use, streams, threads, time on hostile texts. Ids are in
// goldens.cc.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "ingot/error.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

using testing::HasSubstr;

Tokenizer load_kind(const std::string& kind) {
  return Tokenizer::load(INGOT_SOURCE_DIR "/tests/data/tokenizers/" + kind);
}

const std::vector<std::string>& kinds() {
  static const std::vector<std::string> out = [] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(INGOT_SOURCE_DIR "/tests/data/tokenizers")) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }();
  return out;
}

// A checkpoint folder of its own for each test.
class TokenizerFolder : public testing::Test {
 protected:
  TokenizerFolder() {
    folder_ = std::filesystem::path(testing::TempDir()) /
              (std::string("tokenizer_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~TokenizerFolder() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  void copy_kind(const std::string& kind) {
    std::filesystem::copy_file(INGOT_SOURCE_DIR "/tests/data/tokenizers/" + kind + "/tokenizer.json",
                               folder_ / "tokenizer.json");
  }
  Tokenizer load() { return Tokenizer::load(folder_.string()); }

  std::filesystem::path folder_;
};

TEST_F(TokenizerFolder, MissingTokenizerIsNotFoundAndNamesTheFile) {
  try {
    load();
    FAIL() << "no throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_THAT(error.what(), HasSubstr((folder_ / "tokenizer.json").string()));
  }
}

TEST_F(TokenizerFolder, WithoutConfigThereIsNoBosEosOrChatTemplate) {
  copy_kind("llama2");
  const Tokenizer tokenizer = load();
  EXPECT_FALSE(tokenizer.bos_id().has_value());
  EXPECT_FALSE(tokenizer.eos_id().has_value());
  EXPECT_FALSE(tokenizer.has_chat_template());
}

TEST_F(TokenizerFolder, ConfigNamesBosAndEosAsTextOrAsObject) {
  copy_kind("llama2");
  write("tokenizer_config.json",
        R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>"})");
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_FALSE(tokenizer.has_chat_template());
}

TEST_F(TokenizerFolder, NullAndAbsentTokensOfTheConfigAreNone) {
  copy_kind("llama2");
  write("tokenizer_config.json", R"({"bos_token": null, "eos_token": "<nowhere>"})");
  EXPECT_FALSE(load().bos_id().has_value());
  EXPECT_FALSE(load().eos_id().has_value());
}

TEST_F(TokenizerFolder, ChatTemplateIsSeenInTheConfigAndBesideIt) {
  copy_kind("llama2");
  write("tokenizer_config.json", R"({"chat_template": "{{ messages }}"})");
  EXPECT_TRUE(load().has_chat_template());
  write("tokenizer_config.json", "{}");
  EXPECT_FALSE(load().has_chat_template());
  write("chat_template.jinja", "{{ messages }}");
  EXPECT_TRUE(load().has_chat_template());
}

TEST_F(TokenizerFolder, BadConfigNamesTheConfig) {
  copy_kind("llama2");
  for (const auto* text : {"[1]", "{\"eos_token\": 7}", "{"}) {
    write("tokenizer_config.json", text);
    try {
      load();
      FAIL() << "no throw for " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_file);
      EXPECT_THAT(error.what(), HasSubstr("tokenizer_config.json"));
    }
  }
}

TEST(Tokenizer, AnswersAboutItsTokens) {
  const Tokenizer tokenizer = load_kind("llama3");
  EXPECT_EQ(tokenizer.vocab_size(), 1524U);
  const int32_t id = tokenizer.token_to_id("<|eot_id|>").value_or(-1);
  EXPECT_EQ(tokenizer.id_to_token(id), "<|eot_id|>");
  EXPECT_TRUE(tokenizer.is_special(id));
  EXPECT_FALSE(tokenizer.is_special(5));
  EXPECT_FALSE(tokenizer.is_special(-1));
  EXPECT_FALSE(tokenizer.token_to_id("no such token").has_value());
  EXPECT_EQ(tokenizer.token_to_id("\u0120the"), tokenizer.encode(" the", false).at(0));
}

TEST(Tokenizer, UnknownIdsAreInvalidArgumentsThatNameTheId) {
  const Tokenizer tokenizer = load_kind("gpt2");
  StreamDecoder stream(tokenizer);
  for (const int32_t id : {-1, 1501, INT32_MAX}) {
    const std::function<void()> uses[] = {[&] { tokenizer.id_to_token(id); },
                                          [&] {
                                            tokenizer.decode(std::vector<int32_t>{5, id});
                                          },
                                          [&] { stream.push(id); }};
    for (const auto& use : uses) {
      try {
        use();
        FAIL() << "no throw";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
        EXPECT_THAT(error.what(), HasSubstr("no token has the id " + std::to_string(id)));
        EXPECT_THAT(error.what(), HasSubstr("below 1501"));
      }
    }
  }
}

TEST(Tokenizer, InvalidUtf8IsEncodedAsReplacementCharacters) {
  for (const auto& kind : kinds()) {
    const Tokenizer tokenizer = load_kind(kind);
    EXPECT_EQ(tokenizer.encode("a\xE4\xBD b\xFF"), tokenizer.encode("a\uFFFD b\uFFFD")) << kind;
  }
}

TEST(StreamDecoder, GivesOutACharacterOfSeveralByteTokensWhenItIsWhole) {
  const Tokenizer tokenizer = load_kind("gpt2");
  const auto ids = tokenizer.encode("\U0001F9D9");  // not in the training text: four byte tokens
  ASSERT_EQ(ids.size(), 4U);
  StreamDecoder stream(tokenizer);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(stream.push(ids[i]), "");
  EXPECT_EQ(stream.push(ids[3]), "\U0001F9D9");
  EXPECT_EQ(stream.finish(), "");
}

TEST(StreamDecoder, ACharacterCutShortBecomesOneReplacementAtTheEnd) {
  const Tokenizer tokenizer = load_kind("gpt2");
  const auto ids = tokenizer.encode("\U0001F9D9");
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.push(ids[1]), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
}

TEST(StreamDecoder, GivesOutWordsAtOnce) {
  const Tokenizer tokenizer = load_kind("llama2");
  const auto ids = tokenizer.encode("the king", false);
  StreamDecoder stream(tokenizer);
  std::string out;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id);
    EXPECT_FALSE(part.empty());
    out += part;
  }
  EXPECT_EQ(out, "the king");
}

TEST(StreamDecoder, RandomIdsAddUpToDecodeAndNeverHalfACharacter) {
  std::mt19937 random(7);
  for (const auto& kind : kinds()) {
    const Tokenizer tokenizer = load_kind(kind);
    std::vector<int32_t> ids(300);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % tokenizer.vocab_size());
    for (const bool skip : {true, false}) {
      StreamDecoder stream(tokenizer, skip);
      std::string out;
      for (const int32_t id : ids) {
        const std::string part = stream.push(id);
        ASSERT_EQ(valid_utf8_prefix(part), part.size()) << kind;
        out += part;
      }
      EXPECT_EQ(out + stream.finish(), tokenizer.decode(ids, skip)) << kind;
    }
  }
}

TEST(Tokenizer, EncodesTheSameFromManyThreads) {
  const Tokenizer tokenizer = load_kind("deepseek_v3");
  std::ifstream file(INGOT_SOURCE_DIR "/tests/data/fairytales-valid.txt");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const std::string part = text.substr(0, 40'000);
  const auto expected = tokenizer.encode(part);
  std::vector<int> right(4);
  std::vector<std::thread> threads;
  threads.reserve(right.size());
  for (int& result : right) {
    threads.emplace_back([&] {
      for (int round = 0; round < 3; ++round) result += tokenizer.encode(part) == expected ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(right, testing::Each(3));
}

// What makes naive implementations quadratic. Linear ones take milliseconds; the limit allows for sanitizers.
TEST(Tokenizer, LongRunsTakeLinearTime) {
  const std::string units[] = {"a", " ",  "ab", "1",      "\n",  "\u4e2d", "\u0301\u0323",
                               "<", "<|", ".",  "\u2581", " \t", "A",      "'"};
  for (const auto& kind : kinds()) {
    const Tokenizer tokenizer = load_kind(kind);
    for (const auto& unit : units) {
      for (const std::string end : {"", "x"}) {
        std::string text;
        while (text.size() < 200'000) text += unit;
        const auto start = std::chrono::steady_clock::now();
        const auto ids = tokenizer.encode(text + end);
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        EXPECT_LT(seconds.count(), 3) << kind << " '" << unit << "' '" << end << "'";
        EXPECT_FALSE(ids.empty());
      }
    }
  }
}

}  // namespace
}  // namespace ingot::text
