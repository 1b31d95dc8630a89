// ingot calibrate, with a cache folder of the test's own.
#include <cstdlib>
#include <filesystem>

#include "cli/expect.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

/// One thread, so that the machine's number of them does not matter.
class Calibrate : public testing::Test {
 protected:
  void SetUp() override { ::setenv("XDG_CACHE_HOME", cache.path().c_str(), 1); }
  void TearDown() override { ::unsetenv("XDG_CACHE_HOME"); }
  static Result calibrate(std::vector<std::string> options) {
    options.insert(options.begin(), {"calibrate", "--threads", "1"});
    return ingot(options);
  }
  TempFolder cache;
};

TEST_F(Calibrate, MeasuresOnceKeepsTheFileAndRepairsIt) {
  const Result first = calibrate({"--json"});
  expect_success(first);
  EXPECT_THAT(first.err, HasSubstr("ingot: calibrating "));
  EXPECT_EQ(std::count(first.err.begin(), first.err.end(), '\n'), 1) << first.err;
  const json made = json::parse(first.out);
  EXPECT_EQ(made.at("measured_now"), true);
  EXPECT_EQ(made.at("threads"), 1);
  EXPECT_EQ(made.at("file"), cache.path("ingot/calibration-v1.json"));
  EXPECT_TRUE(std::filesystem::exists(cache.path("ingot/calibration-v1.json")));
  EXPECT_EQ(made.at("hash").get<std::string>().size(), 16U);

  const Result second = calibrate({});
  expect_success(second);
  EXPECT_EQ(second.err, "");
  EXPECT_THAT(second.out, HasSubstr("hash " + made.at("hash").get<std::string>()));
  for (const char* part : {"linear_decode", "bf16, out_in", "overhead us", "GB/s by working set", "loaded"})
    EXPECT_THAT(second.out, HasSubstr(part));

  cache.write("ingot/calibration-v1.json", "{\"version\": 1, \"calib");
  const Result third = calibrate({"--json"});
  expect_success(third);
  EXPECT_THAT(third.err, HasSubstr("ignored: it is no JSON, or not all of it"));
  EXPECT_EQ(json::parse(third.out).at("measured_now"), true);
}

TEST_F(Calibrate, RefusesWhatThereIsNot) {
  expect_refused(calibrate({"--device", "gpu"}), {"device", "'gpu'"});
  expect_refused(ingot({"calibrate", "--threads", "-1"}), {"threads", "-1"});
}

TEST_F(Calibrate, RunOnOneDeviceNeedsNone) {
  const TinyCheckpoint checkpoint;
  const TempFolder model;
  checkpoint.write(model);
  const Result result = ingot({"run", "-m", model.path(), "-n", "2", "x"});
  expect_success(result);
  EXPECT_THAT(result.err, Not(HasSubstr("calibrat")));
  EXPECT_FALSE(std::filesystem::exists(cache.path("ingot")));
}

}  // namespace
}  // namespace ingot::cli_test
