// The whole validation text against PyTorch's figure.
#include <cmath>

#include "cli/expect.h"
#include "cli/storyteller.h"

namespace ingot::cli_test {
namespace {

TEST(Perplexity, OfTheValidationTextIsThatOfPyTorchInFourDigits) {
  const nlohmann::json reference = storyteller_reference();
  const auto text = [&](const char* key) { return std::to_string(reference.at(key).get<int64_t>()); };
  Process process({"perplexity", "-m", storyteller(), "--json", "--window", text("context"), "--stride",
                   text("stride"),
                   INGOT_SOURCE_DIR "/tests/data/" + reference.at("file").get<std::string>()});
  const Result result = process.finish(550);
  expect_success(result);
  const nlohmann::json figures = nlohmann::json::parse(result.out);
  EXPECT_EQ(figures.at("scored_tokens"), reference.at("scored_tokens"));
  const double expected = reference.at("perplexity").get<double>();
  EXPECT_NEAR(figures.at("perplexity").get<double>() / expected, 1, 5e-5);
  EXPECT_NEAR(figures.at("bits_per_byte").get<double>() / reference.at("bits_per_byte").get<double>(), 1,
              5e-5);
}

}  // namespace
}  // namespace ingot::cli_test
