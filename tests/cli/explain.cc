// ingot explain: tables, JSON, dot and the page, and what it refuses.
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "cli/expect.h"
#include "cli/storyteller.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

/// Calibrates once for all runs of these tests, beside the build and not in the user's cache.
void keep_calibration() {
  ::setenv("XDG_CACHE_HOME", (std::filesystem::path(INGOT_BINARY).parent_path() / "test-cache").c_str(), 1);
}

class Explain : public testing::Test {
 protected:
  void SetUp() override {
    checkpoint.write(folder);
    keep_calibration();
  }
  /// Arguments of `ingot explain` on the tiny checkpoint: a context of 64.
  std::vector<std::string> with(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"explain", "-m", folder.path(), "-r", "2"});
    return arguments;
  }
  json steps(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    const Result result = ingot(with(std::move(arguments)));
    expect_success(result);
    return json::parse(result.out).at("steps");
  }

  TinyCheckpoint checkpoint;
  TempFolder folder;
};

TEST_F(Explain, JsonHasEveryLaunchWithItsWorkAndItsTime) {
  for (const json& step : steps({})) {
    SCOPED_TRACE(step.at("step"));
    EXPECT_EQ(step.at("launches"), step.at("rows").size());
    EXPECT_GE(step.at("launches_before"), 2 * step.at("launches").get<int>());
    double sum = 0;
    for (const json& row : step.at("rows")) {
      EXPECT_GT(row.at("bytes").get<double>(), 0) << row;
      EXPECT_GE(row.at("measured_us").get<double>(), 0) << row;
      EXPECT_GE(row.at("share").get<double>(), 0) << row;
      EXPECT_EQ(row.at("device"), "cpu");
      EXPECT_NE(row.at("kernel"), "");
      EXPECT_NE(row.at("reason"), "");
      sum += row.at("measured_us").get<double>();
    }
    EXPECT_NEAR(step.at("measured_us").get<double>(), sum, 1e-6 * sum);
    EXPECT_GT(step.at("step_us").get<double>(), 0);
    double total = 0;
    for (const json& part : step.at("totals")) total += part.at("measured_us").get<double>();
    EXPECT_NEAR(total, sum, 1e-6 * sum);
    EXPECT_EQ(step.at("outputs")[0].at("row"), step.at("rows").size() - 1);
  }
}

TEST_F(Explain, DecodesABatchAtTheContextAskedFor) {
  const json step = steps({"--no-profile", "--step", "decode", "--batch", "3", "--context", "50"}).at(0);
  EXPECT_EQ(step.at("step"), "decode");
  EXPECT_EQ(step.at("sequences"), 3);
  EXPECT_EQ(step.at("tokens"), 3);
  EXPECT_EQ(step.at("context"), 50);
  EXPECT_THAT(step.at("rows")[0].at("shape").get<std::string>(), HasSubstr("[3, "));
}

TEST_F(Explain, PrefillsThePromptAskedFor) {
  const json step = steps({"--no-profile", "--step", "prefill", "--prompt", "17"}).at(0);
  EXPECT_EQ(step.at("step"), "prefill");
  EXPECT_EQ(step.at("tokens"), 17);
  EXPECT_EQ(step.at("context"), 17);
  // A prompt may fill the context; the decode step then is the last one that fits.
  const json full = steps({"--no-profile", "--prompt", "64"});
  EXPECT_EQ(full.at(0).at("context"), 64);
  EXPECT_EQ(full.at(1).at("context"), 64);
}

TEST_F(Explain, PredictsEveryLaunchByTheCalibrationItNames) {
  for (const json& step : steps({})) {
    EXPECT_EQ(step.at("calibration").get<std::string>().size(), 16U);
    double sum = 0;
    for (const json& row : step.at("rows")) {
      EXPECT_GT(row.at("predicted_us").get<double>(), 0) << row;
      sum += row.at("predicted_us").get<double>();
    }
    EXPECT_NEAR(step.at("predicted_us").get<double>(), sum, 1e-6 * sum);
    EXPECT_GE(step.at("prediction_error").get<double>(), 0);
    EXPECT_GT(step.at("prediction_error_rows"), 0);
  }
}

TEST_F(Explain, WithoutProfileOrCalibrationPredictsNothingAndSaysSo) {
  ::setenv("XDG_CACHE_HOME", folder.path("empty").c_str(), 1);
  const Result result = ingot(with({"--no-profile"}));
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("cpu is not calibrated"));
  EXPECT_FALSE(std::filesystem::exists(folder.path("empty")));
}

TEST_F(Explain, WithoutProfileMeasuresNothing) {
  const Result result = ingot(with({"--no-profile", "--json"}));
  expect_success(result);
  const json explanation = json::parse(result.out);
  EXPECT_EQ(explanation.at("devices")[0].at("read_gbps"), 0);
  for (const json& step : explanation.at("steps")) {
    EXPECT_TRUE(step.at("step_us").is_null());
    for (const json& row : step.at("rows")) EXPECT_TRUE(row.at("measured_us").is_null());
  }
  // Then the text is the same each time.
  const Result text = ingot(with({"--no-profile"}));
  expect_success(text);
  EXPECT_EQ(text.out, ingot(with({"--no-profile"})).out);
}

TEST_F(Explain, TextFoldsLayersAndAllShowsThem) {
  const Result folded = ingot(with({"--step", "decode"}));
  expect_success(folded);
  EXPECT_THAT(folded.out, HasSubstr("decode: 1 sequence, one token each"));
  EXPECT_THAT(folded.out, HasSubstr("attention_decode"));
  EXPECT_THAT(folded.out, HasSubstr("the real step"));
  EXPECT_THAT(folded.out, HasSubstr("launches"));
  const Result all = ingot(with({"--step", "decode", "--all", "--no-profile"}));
  expect_success(all);
  EXPECT_THAT(all.out, Not(HasSubstr("sums)")));
  EXPECT_GE(std::count(all.out.begin(), all.out.end(), '\n'),
            std::count(folded.out.begin(), folded.out.end(), '\n'));
}

TEST_F(Explain, GraphPrintsBothGraphs) {
  const Result result = ingot(with({"--graph", "--no-profile", "--step", "decode"}));
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("as built, "));
  EXPECT_THAT(result.out, HasSubstr("as it runs, "));
  EXPECT_THAT(result.out, HasSubstr(" = linear("));
  EXPECT_THAT(result.out, HasSubstr(" = linear_"));
}

TEST_F(Explain, DotHasANodeForEachLaunch) {
  const Result result = ingot(with({"--dot", "--no-profile", "--step", "decode"}));
  expect_success(result);
  EXPECT_TRUE(result.out.starts_with("digraph")) << result.out;
  const json step = steps({"--no-profile", "--step", "decode"}).at(0);
  std::istringstream lines(result.out);
  size_t nodes = 0;
  for (std::string line; std::getline(lines, line);) {
    nodes += line.find(" on cpu") != std::string::npos ? 1U : 0U;
  }
  EXPECT_EQ(nodes, step.at("rows").size());
}

TEST_F(Explain, HtmlIsOnePageThatNamesNoOther) {
  const std::string path = folder.path("page.html");
  const Result result = ingot(with({"--html", path}));
  expect_success(result);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, testing::EndsWith("ingot: wrote " + path + "\n"));
  std::ifstream file(path);
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  EXPECT_THAT(page, HasSubstr("</html>"));
  for (const char* mark : {"/*STYLE*/", "/*SCRIPT*/", "/*DATA*/", "https://", "<link rel=\"stylesheet\""}) {
    EXPECT_THAT(page, Not(HasSubstr(mark)));
  }
}

TEST_F(Explain, RefusesSizesThatDoNotFit) {
  expect_refused(ingot(with({"--prompt", "65"})), {"prompt", "1 to 64", "65"});
  expect_refused(ingot(with({"--prompt", "-1"})), {"prompt", "-1"});
  expect_refused(ingot(with({"--prompt", "0"})), {"--prompt", "at least 1", "0"});
  expect_refused(ingot(with({"--prompt", "9", "--context", "8"})), {"prompt", "1 to 8", "9"});
  expect_refused(ingot(with({"--batch", "0"})), {"batch", "0"});
  expect_refused(ingot(with({"--batch", "-2"})), {"batch", "-2"});
  expect_refused(ingot(with({"--batch", "100000"})), {"batch", "100000"});
  expect_refused(ingot(with({"--context", "65"})), {"context", "65"});
  expect_refused(ingot({"explain", "-m", folder.path(), "-r", "-1"}), {"repetitions", "-1"});
  expect_refused(ingot({"explain", "-m", folder.path(), "-r", "0"}), {"--repetitions", "at least 1", "0"});
  expect_refused(ingot({"explain", "-m", folder.path(), "-r", "1001"}), {"repetitions", "1001"});
}

TEST_F(Explain, RefusesOptionsThatMakeNoSense) {
  expect_refused(ingot(with({"--colour"})), {"--colour", "ingot explain --help"});
  expect_refused(ingot(with({"--step", "sideways"})), {"--step", "decode or prefill", "sideways"});
  expect_refused(ingot(with({"--json", "--dot"})), {"--json"});
  expect_refused(ingot(with({"--batch", "many"})), {"many"});
  expect_refused(ingot(with({"--html"})), {"--html"});
  expect_refused(ingot({"explain", "-m", folder.path("nowhere")}), {"nowhere"});
}

TEST_F(Explain, RefusesAPageThatCannotBeWritten) {
  for (const std::string& path : {folder.path("no/such/folder/page.html"), folder.path()}) {
    expect_refused(ingot(with({"--html", path})), {path, "cannot write"});
  }
  expect_refused(ingot(with({"--html", "/dev/full"})), {"/dev/full", "cannot write"});
}

TEST(ExplainStoryteller, FoldsItsEightLayersAndTakesAtMostSixLaunchesForEach) {
  keep_calibration();
  const Result result = ingot({"explain", "-p", "16", "-r", "3", "--json"});
  expect_success(result);
  for (const json& step : json::parse(result.out).at("steps")) {
    std::map<int, int> launches;
    int outside = 0;
    for (const json& row : step.at("rows")) {
      if (row.at("layer") < 0) {
        ++outside;
        continue;
      }
      ++launches[row.at("layer").get<int>()];
      EXPECT_EQ(step.at("rows")[row.at("representative").get<size_t>()].at("layer"), 0);
    }
    EXPECT_EQ(launches.size(), 8U);
    for (const auto& [layer, count] : launches) EXPECT_LE(count, 6) << layer;
    EXPECT_GT(outside, 0);
  }
}

TEST(ExplainHelp, FitsAScreenAndShowsAnExample) {
  const Result result = ingot({"explain", "--help"});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("Example"));
  std::istringstream lines(result.out);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(line.size(), 100U) << line;
  EXPECT_LE(count, 34);
}

}  // namespace
}  // namespace ingot::cli_test
