// ingot perplexity: how well a model predicts a text.
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "signals.h"
#include "verbs.h"

namespace ingot::cli {
namespace {

struct Options {
  ModelOptions model;
  PerplexityOptions perplexity;
  std::string file;
  bool json = false;
};

std::string read_text(const std::string& path) {
  return path == "-" ? read_standard_input() : read_file(path);
}

/// A bar that redraws itself on a terminal; nothing elsewhere.
void draw(int64_t done, int64_t total) {
  if (::isatty(STDERR_FILENO) == 0) return;
  constexpr int kWidth = 40;
  const auto filled = static_cast<int>(kWidth * done / total);
  fmt::print(stderr, "\r[{:#<{}}{:.<{}}] {} of {} tokens", "", filled, "", kWidth - filled, done, total);
}

void end_bar() {
  if (::isatty(STDERR_FILENO) != 0) std::fputc('\n', stderr);
}

void perplexity(const Options& options) {
  const std::string text = read_text(options.file);
  LLM llm = load(options.model);
  const CatchInterrupt catch_interrupt;
  const auto progress = [](int64_t done, int64_t total) {
    draw(done, total);
    return !interrupted();
  };
  PerplexityResult result;
  try {
    result = llm.perplexity(text, options.perplexity, progress);
  } catch (const Error& error) {
    if (!interrupted()) throw;
    end_bar();
    fmt::print(stderr, "ingot: {}\n", error.what());
    set_exit_code(130);
    return;
  }
  end_bar();
  const auto scored = static_cast<double>(result.scored_tokens);
  const double bits_per_byte = result.nll / std::log(2.0) / static_cast<double>(result.bytes);
  if (options.json) {
    const nlohmann::ordered_json json = {
        {"perplexity", result.perplexity}, {"nats_per_token", result.nll / scored},
        {"bits_per_byte", bits_per_byte},  {"scored_tokens", result.scored_tokens},
        {"window", result.window},         {"stride", result.stride},
        {"seconds", result.seconds}};
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print(
      "perplexity {:.4f}  ({:.5f} nats a token, {:.4f} bits a byte, {} tokens, window {}, stride {}, {:.1f} "
      "s, {:.0f} tok/s)\n",
      result.perplexity, result.nll / scored, bits_per_byte, result.scored_tokens, result.window,
      result.stride, result.seconds, scored / result.seconds);
}

}  // namespace

void add_perplexity(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("perplexity", "Measure how well a model predicts a text");
  verb->add_option("FILE", options->file, "the text; - reads standard input")->required();
  add_model_options(*verb, options->model);
  add_number(*verb, "--window", options->perplexity.window, "tokens a window (default: the context)", "N");
  add_number(*verb, "--stride", options->perplexity.stride, "tokens between windows (default: half a window)",
             "N");
  verb->add_flag("--json", options->json, "one JSON object");
  verb->footer("Example: ingot perplexity tests/data/fairytales-valid.txt");
  verb->callback([options] { perplexity(*options); });
}

}  // namespace ingot::cli
