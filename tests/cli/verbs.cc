// inspect, tokenize, perplexity, bench, --version and --help.
#include <cmath>
#include <sstream>

#include "cli/expect.h"
#include "cli/storyteller.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Verb : public testing::Test {
 protected:
  void SetUp() override { checkpoint.write(folder); }
  TinyCheckpoint checkpoint;
  TempFolder folder;
};

/// The value on the line of `inspect` that begins with `name`.
std::string row(const Result& result, const std::string& name) {
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find_first_not_of(' ');
    if (begin != std::string::npos && line.compare(begin, name.size(), name) == 0) {
      const size_t value = line.find_first_not_of(' ', begin + name.size());
      return value == std::string::npos ? "" : line.substr(value);
    }
  }
  return "(no row '" + name + "')";
}

TEST(Inspect, ParametersAndWeightsAreTheSumOverTheSafetensorsHeaders) {
  int64_t parameters = 0;
  int64_t bytes = 0;
  int64_t tensors = 0;
  for (const char* shard : {"1", "2", "3"}) {
    std::ifstream file(storyteller() + "/model-0000" + shard + "-of-00003.safetensors", std::ios::binary);
    ASSERT_TRUE(file);
    const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const auto header = TinyCheckpoint::header_of(content);
    for (const auto& [name, tensor] : header.items()) {
      if (name == "__metadata__") continue;
      int64_t elements = 1;
      for (const auto& dimension : tensor.at("shape")) elements *= dimension.get<int64_t>();
      parameters += elements;
      bytes += tensor.at("data_offsets")[1].get<int64_t>() - tensor.at("data_offsets")[0].get<int64_t>();
      ++tensors;
    }
  }
  const Result result = ingot({"inspect"});
  expect_success(result);
  char expected[64];
  std::snprintf(expected, sizeof expected, "%.2f M, bf16 (%.2f M)", static_cast<double>(parameters) * 1e-6,
                static_cast<double>(parameters) * 1e-6);
  EXPECT_EQ(row(result, "parameters"), expected);
  std::snprintf(expected, sizeof expected, "%.1f MiB  mapped", static_cast<double>(bytes) / (1 << 20));
  EXPECT_THAT(row(result, "weights"), HasSubstr(expected));
  EXPECT_EQ(row(result, "tensors"), std::to_string(tensors));
}

TEST(Inspect, MemoryLinesAddUp) {
  const Result result = ingot({"inspect", "--context", "1024"});
  expect_success(result);
  double sum = 0;
  for (const char* name : {"weights", "KV cache", "activations", "workspace", "program"}) {
    EXPECT_THAT(row(result, name), HasSubstr("MiB")) << name;
    sum += std::stod(row(result, name));
  }
  for (const char* name : {"token counts", "step inputs"}) {
    EXPECT_THAT(row(result, name), HasSubstr("KiB")) << name;
    sum += std::stod(row(result, name)) / 1024;
  }
  EXPECT_NEAR(std::stod(row(result, "total")), sum, 0.25);
  // 8 layers, keys and values, 2 heads of 64 dimensions, f32, 1024 tokens and a spare page of 32.
  EXPECT_NEAR(std::stod(row(result, "KV cache")), 8 * 2 * 2 * 64 * 4 * (1024 + 32) / 1048576.0, 0.06);
}

TEST_F(Verb, InspectListsTensors) {
  const Result result = ingot({"inspect", "-m", folder.path(), "--tensors"});
  expect_success(result);
  for (const auto& [name, tensor] : checkpoint.tensors) EXPECT_THAT(result.out, HasSubstr(name));
  EXPECT_THAT(result.out, HasSubstr("[264, 32]"));
  EXPECT_EQ(row(result, "architecture"), "llama, tied embeddings");
  EXPECT_EQ(row(result, "vocabulary"), "264 rows, 259 tokens in the tokenizer");
  EXPECT_EQ(row(result, "context"), "64 tokens at most");
  EXPECT_EQ(row(result, "chat template"), "no");
}

TEST_F(Verb, TokenizeAndDecodeGiveTheTextBack) {
  const std::string text = "the thief's café — 東京 \U0001F469\u200D\U0001F4BB\n\ttab\"quote\"";
  const Result ids = ingot({"tokenize", "-m", folder.path(), "--json", text});
  expect_success(ids);
  const json list = json::parse(ids.out);
  ASSERT_TRUE(list.is_array());
  EXPECT_EQ(list[0], 258);  // "the"
  std::string joined;
  for (const json& id : list) joined += (joined.empty() ? "" : ",") + id.dump();
  const Result decoded = ingot({"tokenize", "-m", folder.path(), "--decode", joined});
  expect_success(decoded);
  EXPECT_EQ(decoded.out, text + "\n");
  EXPECT_EQ(ingot({"tokenize", "-m", folder.path(), "--json"}, text).out, ids.out);
  EXPECT_EQ(ingot({"tokenize", "-m", folder.path(), "--json", "-"}, text).out, ids.out);
}

TEST_F(Verb, TokenizeShowsIdsAndTokens) {
  const Result result = ingot({"tokenize", "-m", folder.path(), "the\"\n"});
  expect_success(result);
  EXPECT_EQ(result.out, "     258  \"the\"\n      35  \"\\\"\"\n      11  \"Ċ\"\n");
  EXPECT_EQ(result.err, "ingot: 3 tokens, 5 bytes\n");
}

TEST_F(Verb, TokenizeOfNothingIsNoToken) {
  const Result result = ingot({"tokenize", "-m", folder.path(), "--json", ""});
  expect_success(result);
  EXPECT_EQ(result.out, "[]\n");
}

TEST_F(Verb, PerplexityOfAModelThatKnowsNothingIsItsVocabulary) {
  TinyTensor& rows = checkpoint.tensors["model.embed_tokens.weight"];
  std::fill(rows.values.begin(), rows.values.end(), 0.0F);  // all logits are 0
  checkpoint.write(folder);
  folder.write(
      "text", "the quick brown fox jumps over the lazy dog, and again, and again, and again; then it sleeps");
  const Result result = ingot({"perplexity", "-m", folder.path(), "--json", folder.path("text")});
  expect_success(result);
  const json figures = json::parse(result.out);
  EXPECT_NEAR(figures.at("perplexity").get<double>(), TinyCheckpoint::kRows, 1e-3);
  EXPECT_NEAR(figures.at("nats_per_token").get<double>(), std::log(264.0), 1e-6);
  EXPECT_EQ(figures.at("window"), 64);
  EXPECT_EQ(figures.at("stride"), 32);
}

TEST_F(Verb, PerplexityScoresEveryTokenButTheFirstWhateverTheWindow) {
  folder.write("text", std::string(150, 'x'));
  for (const auto& [window, stride] :
       {std::pair("64", "32"), {"64", "63"}, {"16", "1"}, {"2", "1"}, {"63", "7"}}) {
    const Result result = ingot({"perplexity", "-m", folder.path(), "--json", "--window", window, "--stride",
                                 stride, folder.path("text")});
    expect_success(result);
    EXPECT_EQ(json::parse(result.out).at("scored_tokens"), 149) << window << " " << stride;
  }
}

TEST_F(Verb, PerplexityOfWindowsThatDoNotOverlapLeavesOutTheFirstTokenOfEach) {
  for (const auto& [tokens, windows] : {std::pair(150, 3), {128, 2}, {129, 3}, {130, 3}, {64, 1}, {65, 2}}) {
    folder.write("text", std::string(static_cast<size_t>(tokens), 'x'));
    const Result result =
        ingot({"perplexity", "-m", folder.path(), "--json", "--stride", "64", folder.path("text")});
    expect_success(result);
    EXPECT_EQ(json::parse(result.out).at("scored_tokens"), tokens - windows) << tokens;
  }
}

TEST_F(Verb, PerplexityOfStandardInputIsThatOfTheFile) {
  const std::string text = "the quick brown fox jumps over the lazy dog";
  folder.write("text", text);
  const auto figure = [](const Result& result) { return json::parse(result.out).at("perplexity"); };
  EXPECT_EQ(figure(ingot({"perplexity", "-m", folder.path(), "--json", "-"}, text)),
            figure(ingot({"perplexity", "-m", folder.path(), "--json", folder.path("text")})));
  const Result line = ingot({"perplexity", "-m", folder.path(), folder.path("text")});
  expect_success(line);
  EXPECT_THAT(line.out, testing::StartsWith("perplexity "));
}

TEST(Bench, JsonHasRatesSharesAndLimits) {
  const Result result = ingot({"bench", "--json", "-p", "64", "-n", "8", "-r", "1"});
  expect_success(result);
  const json figures = json::parse(result.out);
  for (const char* part : {"prefill", "decode"}) {
    for (const char* key : {"tokens_per_second", "share_of_limit", "limit", "achieved", "seconds"}) {
      EXPECT_GT(figures.at(part).at(key).get<double>(), 0) << part << " " << key;
    }
  }
  EXPECT_EQ(figures.at("prefill").at("tokens"), 64);
  EXPECT_EQ(figures.at("decode").at("tokens"), 8);
  EXPECT_LT(figures.at("prefill").at("share_of_limit").get<double>(),
            1);  // no more than the multipliers can do
}

TEST(Bench, SequencesDecodeTogether) {
  const auto decode = [](const char* batch) {
    const Result result = ingot({"bench", "--json", "-p", "40", "-n", "6", "-r", "1", "--batch", batch});
    expect_success(result);
    return json::parse(result.out).at("decode");
  };
  const json one = decode("1");
  const json three = decode("3");
  EXPECT_EQ(one.at("sequences"), 1);
  EXPECT_EQ(three.at("sequences"), 3);
  EXPECT_EQ(one.at("tokens"), 6);
  EXPECT_EQ(three.at("tokens"), 18);
  EXPECT_EQ(three.at("step_kv_bytes").get<double>(), 3 * one.at("step_kv_bytes").get<double>());
  const double weights = one.at("step_weight_bytes").get<double>();  // read once for all, but for embeddings
  EXPECT_GT(weights, 0);
  EXPECT_LT(three.at("step_weight_bytes").get<double>(), 1.01 * weights);
  EXPECT_NEAR(three.at("step_seconds").get<double>(), three.at("seconds").get<double>() / 6, 1e-9);
}

TEST(Bench, TableNamesBothSteps) {
  const Result result = ingot({"bench", "-p", "16", "-n", "4", "-r", "1"});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("\nprefill "));
  EXPECT_THAT(result.out, HasSubstr("\ndecode "));
  EXPECT_THAT(result.out, HasSubstr("\na decode step of 1 sequence takes "));
}

TEST(Version, IsANumber) {
  const Result result = ingot({"--version"});
  expect_success(result);
  EXPECT_EQ(result.out, "ingot " INGOT_VERSION "\n");
}

TEST(Help, FitsAScreenAndShowsAnExample) {
  for (const char* verb : {"", "run", "inspect", "tokenize", "perplexity", "bench", "calibrate", "tune"}) {
    SCOPED_TRACE(verb);
    const Result result = *verb == '\0' ? ingot({"--help"}) : ingot({verb, "--help"});
    expect_success(result);
    EXPECT_EQ(result.err, "");
    EXPECT_THAT(result.out, HasSubstr("Example"));
    EXPECT_THAT(result.out, HasSubstr("ingot "));
    std::istringstream lines(result.out);
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(line.size(), 100U) << line;
    EXPECT_LE(count, 36);
  }
}

TEST(Help, OfAFullDiskIsAnError) {
  Process process({"--help"}, {.output_file = "/dev/full"});
  EXPECT_EQ(process.finish().code, 1);
}

}  // namespace
}  // namespace ingot::cli_test
