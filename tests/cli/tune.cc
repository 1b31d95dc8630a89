// ingot tune on the CPU, which has one form of every kernel; on a GPU: tests/gpu/tune.cc.
#include <cstdlib>
#include <filesystem>

#include "cli/expect.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Tune : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
    checkpoint.write(model);
  }
  void TearDown() override { ::unsetenv("XDG_CACHE_HOME"); }
  Result tune(std::vector<std::string> options) {
    options.insert(options.begin(), {"tune", "-m", model.path(), "--device", "cpu"});
    return ingot(options);
  }
  TempFolder cache;
  TempFolder model;
  TinyCheckpoint checkpoint;
};

TEST_F(Tune, SaysSoWhereThereIsNothingToChoose) {
  const Result result = tune({});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("nothing to tune"));
  const Result machine = tune({"--json"});
  expect_success(machine);
  const json report = json::parse(machine.out);
  EXPECT_TRUE(report.at("shapes").empty());
  EXPECT_EQ(report.at("file"), "");
}

TEST_F(Tune, RefusesSizesOutsideTheContext) {
  expect_refused(tune({"--batch", "0"}), {"batch", "1 to 1024", "0"});
  expect_refused(tune({"--batch", "two"}), {"--batch", "two"});
}

TEST_F(Tune, AFileThatIsDamagedIsIgnoredAndSaid) {
  std::filesystem::create_directory(cache.path("ingot"));
  cache.write("ingot/tuning-v1.json", "{\"version\": 1, \"tun");
  const Result result = tune({});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("ignored: it is no JSON"));
}

}  // namespace
}  // namespace ingot::cli_test
