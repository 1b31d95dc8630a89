// What an explanation says of a plan: rows in the order they run, transfers among them, equal layers folded,
// shares of the devices' limits, and the error of the prediction.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "backend/null/null_backend.h"
#include "exec/cost_model.h"
#include "exec/explain.h"
#include "graph/ops/gelu.h"
#include "graph/ops/linear.h"

namespace ingot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// `layers` of y = gelu(W x), between an input x and an output y, width 64.
std::shared_ptr<const graph::Graph> tower(int layers, const std::string& label = "layer") {
  auto graph = std::make_shared<graph::Graph>();
  graph::Value x = graph->input("x", {DType::f32, {graph::Symbol::tokens, 64}});
  for (int layer = 0; layer < layers; ++layer) {
    graph->set_layer(layer);
    const graph::Value w = graph->weight("w" + std::to_string(layer), Array::zeros(DType::f32, {64, 64}));
    const std::string name = label + std::to_string(layer);
    x = gelu(*graph, linear(*graph, x, w, std::nullopt, graph::WeightOrder::out_in, name),
             graph::GeluKind::tanh);
  }
  graph->set_layer(graph::kNoLayer);
  graph->output("y", x);
  return graph;
}

graph::DimValues tokens(int64_t count) {
  graph::DimValues dims;
  dims[graph::Symbol::tokens] = count;
  return dims;
}

/// A device whose tuning found another form than its rule's for one of two shapes.
class TunedBackend : public null::NullBackend {
 public:
  using NullBackend::NullBackend;
  std::span<const backend::TunedForm> forms() const override { return forms_; }

 private:
  std::vector<backend::TunedForm> forms_{{.shape = "bf16 64 -> 8", .form = "deep", .rule = "wide"},
                                         {.shape = "bf16 64 -> 9", .form = "wide", .rule = "wide"}};
};

class Rows : public testing::Test {
 protected:
  ExplainStep explain(const std::shared_ptr<const graph::Graph>& graph, const CompileOptions& options = {},
                      int64_t rows = 4) const {
    plan_ = exec::compile(graph, tokens(8), backend::StepClass::prefill, devices_, options);
    return exec::explain(*plan_, tokens(rows), devices_);
  }
  static CompileOptions unfused() {
    CompileOptions options;
    options.no_fuse = {"all"};
    return options;
  }

  // "far" has memory of its own; layers that options put there need transfers.
  null::NullBackend near_{{.name = "near", .without = {}}};
  null::NullBackend far_{{.name = "far", .without = {}, .shares_host_memory = false}};
  exec::DeviceCosts near_costs_ = exec::DeviceCosts::uniform("near", 1, 10, 100, 0, 0);
  exec::DeviceCosts far_costs_ = exec::DeviceCosts::uniform("far", 1, 10, 100, 5, 1);
  std::vector<exec::Device> devices_{{.backend = &near_, .name = "near", .costs = &near_costs_},
                                     {.backend = &far_, .name = "far", .costs = &far_costs_}};
  mutable std::shared_ptr<const exec::Plan> plan_;
};

TEST_F(Rows, CountTheWorkOfTheStepAndNotOfTheBucket) {
  const ExplainStep step = explain(tower(1), unfused(), 3);
  ASSERT_EQ(step.rows.size(), 2U);
  EXPECT_EQ(step.rows[0].op, "linear");
  EXPECT_EQ(step.rows[0].shape, "f32[3, 64]");
  EXPECT_EQ(step.rows[0].type, "f32[T, 64]");
  EXPECT_EQ(step.rows[0].flops, 2.0 * 3 * 64 * 64);
  EXPECT_EQ(step.rows[0].bytes, 4.0 * (3 * 64 + 64 * 64 + 3 * 64));
  EXPECT_NEAR(step.rows[0].predicted_us.value_or(-1), 1 + step.rows[0].bytes / 10e3, 1e-9);
  EXPECT_THAT(step.rows[0].reads, ElementsAre("x", "w0"));
  EXPECT_THAT(step.rows[1].inputs, ElementsAre(0));
  EXPECT_EQ(step.outputs[0].row, 1);
}

TEST_F(Rows, AreBelowNotesOfTheFormsThatTuningFoundFaster) {
  TunedBackend tuned({.name = "near", .without = {}});
  EXPECT_THAT(explain(tower(1)).notes, testing::IsEmpty());
  const std::vector<exec::Device> devices{{.backend = &tuned, .name = "near", .costs = &near_costs_},
                                          devices_[1]};
  EXPECT_THAT(exec::explain(*plan_, tokens(4), devices).notes,
              ElementsAre("near: bf16 64 -> 8 runs as 'deep', which ingot tune found faster than 'wide'"));
}

TEST_F(Rows, OfEqualLayersFoldAndOfOthersDoNot) {
  const ExplainStep equal = explain(tower(3), unfused());
  ASSERT_EQ(equal.rows.size(), 6U);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(equal.rows[i].representative, i % 2);
  CompileOptions options = unfused();
  options.layers = {{.first = 1, .last = 1, .device = "far"}};
  const ExplainStep other = explain(tower(3), options);
  for (const ExplainRow& row : other.rows) {
    if (row.is_transfer) continue;
    EXPECT_EQ(other.rows[static_cast<size_t>(row.representative)].device, row.device);
    EXPECT_EQ(other.rows[static_cast<size_t>(row.representative)].layer, row.layer == 2 ? 0 : row.layer);
  }
}

TEST_F(Rows, OfTransfersStandBetweenProducerAndReader) {
  CompileOptions options = unfused();
  options.layers = {{.first = 1, .last = 1, .device = "far"}};
  const ExplainStep step = explain(tower(3), options);
  std::vector<std::string> order;
  order.reserve(step.rows.size());
  for (const ExplainRow& row : step.rows) order.push_back(row.op + "@" + row.device);
  EXPECT_THAT(order, ElementsAre("linear@near", "gelu@near", "transfer@far", "linear@far", "gelu@far",
                                 "transfer@near", "linear@near", "gelu@near"));
  EXPECT_THAT(step.rows[2].inputs, ElementsAre(1));
  EXPECT_THAT(step.rows[3].inputs, ElementsAre(2));
  EXPECT_THAT(step.rows[5].inputs, ElementsAre(4));
  EXPECT_THAT(step.rows[6].inputs, ElementsAre(5));
  EXPECT_EQ(step.launches, 6);
  EXPECT_NEAR(step.rows[2].predicted_us.value_or(-1), 5 + 4.0 * 4 * 64 / 1e3, 1e-9);
}

TEST_F(Rows, OfEveryFusedLinearSayWhatPassMadeThem) {
  const ExplainStep step = explain(tower(2));
  EXPECT_EQ(step.launches, 2);
  EXPECT_EQ(step.launches_before, 4);
  EXPECT_EQ(step.ops_before, 4);
  EXPECT_EQ(step.ops_after, 2);
  int rewrites = 0;
  for (const ExplainPass& pass : step.passes) rewrites += pass.rewrites;
  EXPECT_EQ(rewrites, 2);
  EXPECT_THAT(step.graph_before, HasSubstr("gelu("));
  EXPECT_THAT(step.graph_after, Not(HasSubstr(" = gelu(")));
}

TEST_F(Rows, TakeTheNearerLimitsShare) {
  ExplainStep step = explain(tower(1), unfused());
  // 1 GB/s and 1000 GFLOP/s: memory is the nearer limit of both; then 1000 GB/s and 1 GFLOP/s.
  const double bytes = step.rows[0].bytes;
  const double flops = step.rows[0].flops;
  ExplainStep slow_memory = step;
  std::vector<ExplainDevice> limits{{.name = "near", .description = "", .read_gbps = 1, .f32_gflops = 1000}};
  exec::add_times(slow_memory, std::vector<double>{20, 1}, {}, limits);
  EXPECT_EQ(slow_memory.rows[0].limit, ExplainLimit::memory);
  EXPECT_NEAR(slow_memory.rows[0].share.value_or(-1), bytes / 20e3, 1e-9);
  EXPECT_NEAR(slow_memory.measured_us.value_or(-1), 21, 1e-9);
  limits[0] = {.name = "near", .description = "", .read_gbps = 1000, .f32_gflops = 1};
  exec::add_times(step, std::vector<double>{20, 1}, {}, limits);
  EXPECT_EQ(step.rows[0].limit, ExplainLimit::compute);
  EXPECT_NEAR(step.rows[0].share.value_or(-1), flops / 20e3, 1e-9);
}

TEST_F(Rows, PredictionErrorIsTheMedianOverWhatTakesNineTenths) {
  ExplainStep step = explain(tower(3), unfused());
  // Linears take 94 % of the time; the point-wise ones, far off, do not count.
  std::vector<double> times;
  const double predicted = step.rows[0].predicted_us.value_or(-1);
  for (const double error : {0.10, 0.30, 0.20}) {
    times.push_back(predicted / (1 + error));
    times.push_back(0.05);
  }
  exec::add_times(step, times, {}, {});
  EXPECT_EQ(step.prediction_error_rows, 3);
  EXPECT_NEAR(step.prediction_error.value_or(-1), 0.20, 1e-9);
}

TEST_F(Rows, TotalsSumToTheStep) {
  ExplainStep step = explain(tower(3), unfused());
  exec::add_times(step, std::vector<double>{1, 10, 2, 20, 3, 30}, {}, {});
  ASSERT_EQ(step.totals.size(), 2U);
  EXPECT_EQ(step.totals[0].op, "gelu");
  EXPECT_EQ(step.totals[0].launches, 3);
  EXPECT_NEAR(step.totals[0].measured_us.value_or(-1), 60, 1e-9);
  EXPECT_NEAR(step.totals[1].measured_us.value_or(-1), 6, 1e-9);
  EXPECT_NEAR(step.measured_us.value_or(-1), 66, 1e-9);
}

TEST_F(Rows, NamesFromACheckpointCannotLeaveThePageOrDriveATerminal) {
  const std::string evil = "</script><script>alert(1)</script>\x1b[31m\"<!--";
  Explanation explanation;
  explanation.model = evil;
  explanation.steps.push_back(explain(tower(1, evil), unfused()));
  explanation.steps[0].notes = {evil};
  const std::string page = to_html(explanation);
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, Not(HasSubstr("\x1b")));
  EXPECT_EQ(page.find("</script>", page.find("id=\"data\"")), page.find("</script>\n<script>"));
  const std::string text = to_text(explanation) + to_text(explanation, {.all_layers = true, .graphs = true});
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("\\x1b[31m"));
  EXPECT_THAT(to_dot(explanation), Not(HasSubstr("\x1b")));
  const auto json = nlohmann::json::parse(to_json(explanation));
  EXPECT_EQ(json.at("model"), evil);
  EXPECT_THAT(json.at("steps")[0].at("rows")[0].at("label").get<std::string>(), HasSubstr(evil));
}

}  // namespace
}  // namespace ingot
