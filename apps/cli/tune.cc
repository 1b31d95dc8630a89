// ingot tune: the fastest forms of a device's kernels for a model, measured once and kept.
#include "ingot/tune.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "verbs.h"

namespace ingot::cli {
namespace {

void print(const TuneReport& report) {
  if (report.shapes.empty()) {
    fmt::print("nothing to tune: the devices of this plan have one form of every kernel\n");
    return;
  }
  fmt::print("{:<28} {:<26} {:>10} {:>10}   {}\n", "shape", "fastest form", "step us", "untuned",
             "untuned form");
  for (const TunedShape& shape : report.shapes) {
    fmt::print("{:<28} {:<26} {:>10.1f} {:>10.1f}   {}\n", shape.shape, shape.form, shape.step_us,
               shape.rule_us, shape.form == shape.rule ? "the same" : shape.rule);
  }
  fmt::print("measured in {:.1f} s\nfile: {}\n", report.seconds,
             report.path.empty() ? "none; it holds for this run only" : report.path);
}

void print_json(const TuneReport& report) {
  auto shapes = nlohmann::ordered_json::array();
  for (const TunedShape& shape : report.shapes) {
    shapes.push_back({{"shape", shape.shape},
                      {"form", shape.form},
                      {"rule", shape.rule},
                      {"step_us", shape.step_us},
                      {"rule_us", shape.rule_us}});
  }
  const nlohmann::ordered_json all = {
      {"version", version()}, {"shapes", shapes}, {"file", report.path}, {"seconds", report.seconds}};
  fmt::print("{}\n", all.dump(2));
}

}  // namespace

void add_tune(CLI::App& app) {
  struct Options {
    ModelOptions model;
    TuneOptions tune;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("tune", "Find the fastest forms of a device's kernels for a model");
  add_model_options(*verb, options->model);
  add_number(*verb, "--batch", options->tune.batch, "sequences of the step (default: 1)", "N");
  verb->add_flag("--json", options->json, "one JSON object");
  verb->footer(
      "Forms of a kernel give the same bits and differ in speed. What is found lies in\n"
      "$XDG_CACHE_HOME/ingot, or ~/.cache/ingot, and every later run on this device uses it.\n"
      "Example: ingot tune -m ~/models/Llama-3.2-1B --device cuda");
  verb->callback([options] {
    options->tune.notice = [](std::string_view line) { fmt::print(stderr, "ingot: {}\n", line); };
    options->tune.context = options->model.load.context;
    LLM llm = load(options->model);
    const TuneReport report = llm.tune(options->tune);
    if (options->json) {
      print_json(report);
    } else {
      print(report);
    }
  });
}

}  // namespace ingot::cli
