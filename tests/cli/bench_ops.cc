// ingot bench ops, with one op that is measured in a moment.
#include <fstream>

#include "cli/expect.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST(BenchOps, TellsTimesRatesSharesAndWhatIsMissing) {
  const TempFolder folder;
  const std::string file = folder.path("ops.json");
  const Result result = ingot({"bench", "ops", "--quick", "--device", "cpu", "--threads", "1", "--op",
                               "add+gelu", "--json", file, "--commit", "abc"});
  EXPECT_EQ(result.code, 0) << result.err;
  for (const char* part : {"cpu: ", "limits: ", "GB/s", "GFLOP/s", "[10, 1000]", "cpu fused", "measured in"})
    EXPECT_THAT(result.out, HasSubstr(part));
  const json table = json::parse(std::ifstream(file));
  EXPECT_EQ(table.at("commit"), "abc");
  EXPECT_EQ(table.at("devices").at(0).at("name"), "cpu");
  EXPECT_GT(table.at("devices").at(0).at("read_gbps"), 0);
  EXPECT_TRUE(table.at("crossovers").empty());
  ASSERT_GE(table.at("rows").size(), 5U);
  int64_t before = 0;
  for (const json& row : table.at("rows")) {
    EXPECT_EQ(row.at("op"), "add+gelu");
    for (const char* form : {"unfused", "fused"}) {
      const json& timing = row.at("devices").at("cpu").at(form);
      EXPECT_GT(timing.at("us"), 0);
      EXPECT_GT(timing.at("share_of_limit"), 0);
      EXPECT_GT(timing.at("gbps"), 0);
    }
    if (!row.at("is_model_size")) {
      EXPECT_GT(row.at("elements"), before);
    }
    before = row.at("elements");
  }
}

TEST(BenchOps, RefusesWhatThereIsNot) {
  expect_refused(ingot({"bench", "ops", "--device", "gpu"}), {"device", "'gpu'"});
  expect_refused(ingot({"bench", "ops", "--device", "cpu,cpu"}), {"device", "twice"});
  expect_refused(ingot({"bench", "ops", "--op", "linear,nothing"}),
                 {"bench: expected an op of", "'nothing'"});
  expect_refused(ingot({"bench", "ops", "--json", "/no/such/folder/ops.json"}), {"/no/such/folder/ops.json"});
}

}  // namespace
}  // namespace ingot::cli_test
