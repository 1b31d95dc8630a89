#include "format/generation_config.h"

#include "format/fixtures.h"

namespace ingot::format {
namespace {

GenerationConfig read(std::string_view generation, std::string_view model = "{}") {
  return read_generation_config(Config::parse(generation, "generation_config.json"),
                                Config::parse(model, "config.json"));
}

TEST(GenerationConfig, AbsentFileGivesTheDefaultsOfTransformers) {
  const GenerationConfig none = read_generation_config(Config(), Config());
  EXPECT_EQ(none, GenerationConfig{});
  EXPECT_FALSE(none.do_sample);
  EXPECT_EQ(none.temperature, 1);
  EXPECT_EQ(none.top_k, 50);
  EXPECT_EQ(none.top_p, 1);
  EXPECT_EQ(none.min_p, 0);
  EXPECT_EQ(none.repetition_penalty, 1);
  EXPECT_EQ(none.max_new_tokens, std::nullopt);
  EXPECT_TRUE(none.eos_token_ids.empty());
}

TEST(GenerationConfig, EveryFieldIsRead) {
  const GenerationConfig all = read(
      R"({"do_sample":true,"temperature":0.6,"top_k":20,"top_p":0.95,"min_p":0.05,"repetition_penalty":1.1,
          "max_new_tokens":256,"bos_token_id":1,"eos_token_id":[2,3],"pad_token_id":4})");
  EXPECT_TRUE(all.do_sample);
  EXPECT_EQ(all.temperature, 0.6);
  EXPECT_EQ(all.top_k, 20);
  EXPECT_EQ(all.top_p, 0.95);
  EXPECT_EQ(all.min_p, 0.05);
  EXPECT_EQ(all.repetition_penalty, 1.1);
  EXPECT_EQ(all.max_new_tokens, 256);
  EXPECT_EQ(all.bos_token_id, 1);
  EXPECT_EQ(all.eos_token_ids, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(all.pad_token_id, 4);
}

TEST(GenerationConfig, TokenIdsLeftOutComeFromTheModelsConfig) {
  const std::string model =
      R"({"bos_token_id":7,"eos_token_id":8,"pad_token_id":9,"do_sample":true,"top_k":3})";
  const GenerationConfig both = read(R"({"eos_token_id":5})", model);
  EXPECT_EQ(both.bos_token_id, 7);
  EXPECT_EQ(both.eos_token_ids, (std::vector<int64_t>{5}));
  EXPECT_EQ(both.pad_token_id, 9);
  EXPECT_FALSE(both.do_sample);
  EXPECT_EQ(both.top_k, 50);
}

TEST(GenerationConfig, MinusOneIsNoToken) {
  const GenerationConfig none = read(R"({"bos_token_id":-1,"eos_token_id":[-1,6],"pad_token_id":-1})");
  EXPECT_EQ(none.bos_token_id, std::nullopt);
  EXPECT_EQ(none.eos_token_ids, (std::vector<int64_t>{6}));
  EXPECT_EQ(none.pad_token_id, std::nullopt);
}

TEST(GenerationConfig, ValuesOutOfRangeAreNamedWithTheirFile) {
  const std::pair<std::string_view, std::string> cases[] = {
      {R"({"do_sample":1})", "key 'do_sample': expected true or false, found 1"},
      {R"({"temperature":-0.1})", "key 'temperature': expected a number between 0 and 1000, found -0.1"},
      {R"({"temperature":"hot"})", "key 'temperature': expected a number between 0 and 1000, found \"hot\""},
      {R"({"top_k":-1})", "key 'top_k': expected an integer between 0 and 2147483647, found -1"},
      {R"({"top_k":2.5})", "key 'top_k': expected an integer between 0 and 2147483647, found 2.5"},
      {R"({"top_p":1.01})", "key 'top_p': expected a number between 0 and 1, found 1.01"},
      {R"({"min_p":2})", "key 'min_p': expected a number between 0 and 1, found 2"},
      {R"({"repetition_penalty":0})",
       "key 'repetition_penalty': expected a number between 0.001 and 1000, found 0"},
      {R"({"max_new_tokens":0})",
       "key 'max_new_tokens': expected an integer between 1 and 2147483647, found 0"},
      {R"({"eos_token_id":[2,-2]})",
       "key 'eos_token_id': expected an integer between -1 and 2147483647, or a list"},
      {R"({"bos_token_id":[1]})",
       "key 'bos_token_id': expected an integer between -1 and 2147483647, found [1]"},
      {R"({"pad_token_id":2147483648})", "key 'pad_token_id'"}};
  for (const auto& bad : cases) {
    expect_error(ErrorCode::invalid_file, "generation_config.json: " + bad.second, [&] { read(bad.first); });
  }
  expect_error(ErrorCode::invalid_file, "config.json: key 'eos_token_id'",
               [] { read("{}", R"({"eos_token_id":"</s>"})"); });
}

}  // namespace
}  // namespace ingot::format
