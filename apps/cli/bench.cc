// ingot bench: how fast, and how close to what the machine can do.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "verbs.h"

namespace ingot::cli {
namespace {

nlohmann::ordered_json to_json(const BenchPart& part, const std::string& unit) {
  return {{"tokens", part.tokens},
          {"seconds", part.seconds},
          {"tokens_per_second", part.tokens_per_second},
          {"achieved", part.achieved},
          {"limit", part.limit},
          {"unit", unit},
          {"share_of_limit", part.share_of_limit}};
}

void bench(const ModelOptions& model, const BenchOptions& options, bool json) {
  LLM llm = load(model);
  const BenchResult result = llm.bench(options);
  if (json) {
    nlohmann::ordered_json decode = to_json(result.decode, "GB/s");
    decode["sequences"] = result.sequences;
    decode["step_seconds"] = result.step_seconds;
    decode["step_weight_bytes"] = result.step_weight_bytes;
    decode["step_kv_bytes"] = result.step_kv_bytes;
    const nlohmann::ordered_json object = {{"version", version()},
                                           {"model", llm.info().folder},
                                           {"device", result.device},
                                           {"prefill", to_json(result.prefill, result.prefill_unit)},
                                           {"decode", std::move(decode)}};
    fmt::print("{}\n", object.dump(2));
    return;
  }
  fmt::print("{} on {}\n\n", llm.info().folder, result.device);
  fmt::print("{:<9} {:>7} {:>10} {:>18} {:>20} {:>7}\n", "step", "tokens", "tok/s", "achieved",
             "limit, measured", "share");
  const auto row = [](std::string_view name, const BenchPart& part, std::string_view unit) {
    fmt::print("{:<9} {:>7} {:>10.1f} {:>10.1f} {:<7} {:>12.1f} {:<7} {:>6.1f} %\n", name, part.tokens,
               part.tokens_per_second, part.achieved, unit, part.limit, unit, 100 * part.share_of_limit);
  };
  row("prefill", result.prefill, result.prefill_unit);
  row("decode", result.decode, "GB/s");
  fmt::print("\na decode step of {} takes {:.3f} ms and reads {} of weights, {} of keys and values\n",
             result.sequences == 1 ? "1 sequence" : fmt::format("{} sequences", result.sequences),
             1e3 * result.step_seconds, human_bytes(static_cast<int64_t>(result.step_weight_bytes)),
             human_bytes(static_cast<int64_t>(result.step_kv_bytes)));
}

}  // namespace

void add_bench(CLI::App& app) {
  struct Options {
    ModelOptions model;
    BenchOptions bench;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("bench", "Measure prefill and decode against this machine's limits");
  add_model_options(*verb, options->model);
  add_number(*verb, "-p,--prompt", options->bench.prompt_tokens, "tokens of the prompt (default 512)", "N");
  add_number(*verb, "-n,--generate", options->bench.generate_tokens, "tokens to generate (default 64)", "N");
  add_number(*verb, "-b,--batch", options->bench.sequences, "sequences decoded together (default 1)", "N");
  add_number(*verb, "-r,--repetitions", options->bench.repetitions, "the median counts (default 3)", "N");
  verb->add_flag("--json", options->json, "one JSON object");
  verb->footer(
      "Limits: multiply-adds on registers (prefill; of 8-bit integers, GOP/s, where most weights are\n"
      "in block formats, else of f32) and reading from memory (decode),\n"
      "measured with the same threads before each repetition.\nExample: ingot bench -m FOLDER --json");
  add_bench_ops(*verb);
  verb->callback([options, verb] {
    if (verb->get_subcommands().empty()) bench(options->model, options->bench, options->json);
  });
}

}  // namespace ingot::cli
