// ingot explain: what a step runs where, why, and how close to the machine's limit.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <type_traits>

#include "verbs.h"

namespace ingot::cli {
namespace {

struct Options {
  std::optional<int64_t> prompt;
  std::optional<int64_t> repetitions;
  ModelOptions model;
  ExplainOptions explain;
  ExplainTextOptions text;
  std::string step;
  std::string html;
  bool no_profile = false;
  bool json = false;
  bool dot = false;
};

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

[[noreturn]] void refuse_file(const std::string& path) {
  throw Error(ErrorCode::io, fmt::format("{}: cannot write: {}", path, std::strerror(errno)));
}

void write_page(File file, const std::string& path, const std::string& page) {
  const bool is_written = std::fwrite(page.data(), 1, page.size(), file.get()) == page.size();
  if (std::fclose(file.release()) != 0 || !is_written) refuse_file(path);
}

void choose_steps(Options& options) {
  if (options.step.empty()) return;
  if (options.step != "decode" && options.step != "prefill") {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--step: expected decode or prefill, found '{}'", options.step));
  }
  options.explain.decode = options.step == "decode";
  options.explain.prefill = options.step == "prefill";
}

/// What the library takes as "choose yourself" is no number that a user may ask for.
void take_counts(Options& options) {
  const auto take = [](std::string_view name, const std::optional<int64_t>& count, auto& target) {
    if (!count) return;
    if (*count < 1 || *count > std::numeric_limits<int>::max())
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: expected at least 1, found {}", name, *count));
    target = static_cast<std::remove_reference_t<decltype(target)>>(*count);
  };
  take("--prompt", options.prompt, options.explain.prompt_tokens);
  take("--repetitions", options.repetitions, options.explain.repetitions);
}

void explain(Options options) {
  choose_steps(options);
  take_counts(options);
  options.explain.profile = !options.no_profile;
  options.explain.notice = [](std::string_view line) { fmt::print(stderr, "ingot: {}\n", line); };
  options.explain.context = options.model.load.context;
  File page(nullptr, &std::fclose);
  if (!options.html.empty()) {
    // Before the seconds of measuring, not after.
    page.reset(std::fopen(options.html.c_str(), "wb"));
    if (!page) refuse_file(options.html);
  }
  LLM llm = load(options.model);
  const Explanation explanation = llm.explain(options.explain);
  if (page) {
    write_page(std::move(page), options.html, to_html(explanation));
    fmt::print(stderr, "ingot: wrote {}\n", options.html);
  }
  if (options.json) {
    write_text(to_json(explanation) + "\n");
  } else if (options.dot) {
    write_text(to_dot(explanation));
  } else if (options.html.empty()) {
    write_text(to_text(explanation, options.text));
  }
}

}  // namespace

void add_explain(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("explain", "Show what a step runs, where, why, and how fast");
  add_model_options(*verb, options->model);
  add_number(*verb, "-p,--prompt", options->prompt, "tokens of the prompt (default 256)", "N");
  add_number(*verb, "-b,--batch", options->explain.batch, "sequences of the decode step (default 1)", "N");
  add_number(*verb, "-r,--repetitions", options->repetitions, "the median counts (default 5 to 50)", "N");
  verb->add_option("--step", options->step, "decode or prefill (default: both)")->type_name("NAME");
  verb->add_flag("--no-profile", options->no_profile, "predict only, measure nothing");
  verb->add_flag("--all", options->text.all_layers, "every layer's rows; else equal layers are one");
  verb->add_flag("--graph", options->text.graphs, "the graph as built and as it runs, as text");
  CLI::Option* json = verb->add_flag("--json", options->json, "everything, as one JSON object");
  verb->add_flag("--dot", options->dot, "the fused graph for Graphviz")->excludes(json);
  verb->add_option("--html", options->html, "write one page: graph, timeline, roofline, table")
      ->type_name("FILE");
  verb->footer(
      "Decode at the end of --context where it is given, else right after the prompt.\n"
      "Example: ingot explain -m FOLDER --html step.html");
  verb->callback([options] { explain(*options); });
}

}  // namespace ingot::cli
