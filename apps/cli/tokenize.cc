// ingot tokenize: text to ids and tokens, or ids to text.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "verbs.h"

namespace ingot::cli {
namespace {

struct Options {
  ModelOptions model;
  std::optional<std::string> text;
  std::vector<int32_t> decode;
  bool no_special = false;
  bool json = false;
};

void tokenize(Options& options) {
  const LLM llm = load(options.model);
  if (!options.decode.empty()) {
    const std::string text = llm.decode(options.decode, false);
    write_text(text + "\n");
    return;
  }
  const std::string text = options.text && *options.text != "-" ? *options.text : read_standard_input();
  const std::vector<int32_t> ids = llm.encode(text, !options.no_special);
  if (options.json) {
    fmt::print("[{}]\n", fmt::join(ids, ", "));
    return;
  }
  // Tokens as JSON strings: control characters and quotes stay readable.
  for (int32_t id : ids) {
    const std::string token =
        nlohmann::json(llm.token(id)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    fmt::print("{:>8}  {}\n", id, token);
  }
  fmt::print(stderr, "ingot: {} tokens, {} bytes\n", ids.size(), text.size());
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("tokenize", "Show the tokens of a text, or the text of tokens");
  verb->add_option("TEXT", options->text, "text (default, or -: standard input)");
  add_model_options(*verb, options->model);
  const auto read_ids = [options](const CLI::results_t& values) {
    for (const std::string& id : values) options->decode.push_back(read_number<int32_t>("--decode", id));
    return true;
  };
  verb->add_option("--decode", read_ids, "ids to turn into text, as 1,2,3")
      ->delimiter(',')
      ->type_name("IDS")
      ->expected(1, 1 << 20);
  verb->add_flag("--no-special", options->no_special, "leave out the special tokens around the text");
  verb->add_flag("--json", options->json, "ids alone, as a JSON list");
  verb->footer("Example: ingot tokenize \"The king's daughter\"");
  verb->callback([options] { tokenize(*options); });
}

}  // namespace ingot::cli
