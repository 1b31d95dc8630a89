// ingot run: text alone on standard output, everything else on standard error.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>

#include "signals.h"
#include "verbs.h"

namespace ingot::cli {
namespace {

struct RunOptions {
  ModelOptions model;
  GenerateOptions generate;
  std::optional<int64_t> max_tokens;
  std::optional<std::string> prompt;
  bool interactive = false;
  bool quiet = false;
  std::optional<std::string> stats;  // "table" or "json"
};

/// Whether standard input is a pipe or a file, rather than a terminal or nothing.
bool input_is_piped() {
  struct stat info {};
  return ::fstat(STDIN_FILENO, &info) == 0 &&
         (S_ISFIFO(info.st_mode) || S_ISREG(info.st_mode) || S_ISSOCK(info.st_mode));
}

int64_t peak_resident_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

void print_summary(const LLM& llm, const GenerateResult& result, double first_token_seconds) {
  const auto rate = [](double tokens, double seconds) { return seconds > 0 ? tokens / seconds : 0.0; };
  const auto generated = static_cast<int64_t>(result.tokens.size());
  fmt::print(stderr,
             "ingot: {} prompt + {} generated tokens ({}), prefill {:.0f} tok/s, decode {:.0f} tok/s, first "
             "token {:.3f} s, "
             "memory {}, seed {}, {}\n",
             result.prompt_tokens, generated, to_string(result.finish),
             rate(static_cast<double>(result.prompt_tokens), result.prefill_seconds),
             rate(static_cast<double>(generated - 1), result.decode_seconds), first_token_seconds,
             human_bytes(peak_resident_bytes()), result.sampling.seed, llm.device());
}

/// Streams one continuation. Returns its text.
std::string generate(LLM& llm, const RunOptions& options, std::optional<std::string_view> prompt,
                     std::chrono::steady_clock::time_point start) {
  const CatchInterrupt catch_interrupt;
  const GenerateResult result = llm.generate(prompt, options.generate, [&](std::string_view piece) {
    if (!piece.empty()) write_text(piece);
    return !interrupted();
  });
  const std::chrono::duration<double> total = std::chrono::steady_clock::now() - start;
  if (!result.text.empty() && !result.text.ends_with('\n')) write_text("\n");
  if (!options.quiet)
    print_summary(llm, result, result.tokens.empty() ? 0 : total.count() - result.decode_seconds);
  return result.text;
}

/// Each line continues the text so far; an empty one lets the model go on. Ctrl-C ends a continuation, and
/// between two of them the conversation.
void converse(LLM& llm, const RunOptions& options) {
  fmt::print(stderr,
             "ingot: type a line to continue the text, an empty line to let the model go on, /new to start "
             "afresh, Ctrl-D to end\n");
  std::string text = options.prompt.value_or("");
  bool has_input = !text.empty();
  while (true) {
    if (!has_input) {
      std::fputs("> ", stderr);
      std::string line;
      if (!std::getline(std::cin, line)) break;
      if (line == "/new") {
        text.clear();
        continue;
      }
      if (line.empty() && text.empty()) continue;
      text += line;
    }
    has_input = false;
    try {
      text += generate(llm, options, text, std::chrono::steady_clock::now());
    } catch (const Error& error) {
      if (static_cast<int64_t>(llm.encode(text).size()) < llm.context()) throw;
      fmt::print(stderr, "ingot: {}; /new starts afresh\n",
                 error.what());  // the text has outgrown the context
    }
  }
  std::fputc('\n', stderr);
}

void tell_statistics(const LLM& llm, const RunOptions& options) {
  if (options.stats == "table") print_statistics(llm.statistics());
  if (options.stats == "json") print_statistics_json(llm.statistics());
}

void run(RunOptions& options) {
  if (options.prompt && *options.prompt == "-") {
    options.prompt = read_standard_input();
  } else if (!options.prompt && !options.interactive && input_is_piped()) {
    std::string text = read_standard_input();
    if (!text.empty()) options.prompt = std::move(text);
  }
  if (options.max_tokens) {
    if (*options.max_tokens < 1) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("--max-tokens: expected 1 or more, found {}", *options.max_tokens));
    }
    options.generate.max_tokens = *options.max_tokens;
  }
  if (options.prompt && options.prompt->empty()) {
    throw Error(ErrorCode::invalid_argument, "prompt: expected text, found an empty string");
  }
  if (options.stats && options.stats != "table" && options.stats != "json") {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--stats: expected --stats or --stats=json, found '{}'", *options.stats));
  }
  LLM llm = load(options.model);
  if (llm.info().has_chat_template && !options.quiet) {
    fmt::print(
        stderr,
        "ingot: this checkpoint has a chat template; `run` continues plain text and does not apply it\n");
  }
  if (options.interactive) {
    converse(llm, options);
    tell_statistics(llm, options);
    return;
  }
  std::optional<std::string_view> prompt;
  if (options.prompt) prompt = *options.prompt;
  generate(llm, options, prompt, process_start());
  tell_statistics(llm, options);
  if (interrupted()) set_exit_code(130);
}

}  // namespace

void add_run(CLI::App& app) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* verb = app.add_subcommand("run", "Write text: continue a prompt, or tell a story");
  verb->add_option("PROMPT", options->prompt,
                   "text to continue; - reads standard input (default: begin afresh)");
  add_model_options(*verb, options->model);
  GenerateOptions& generate = options->generate;
  SamplingOptions& sampling = generate.sampling;
  verb->add_flag("-i,--interactive", options->interactive, "line by line");
  add_number(*verb, "-n,--max-tokens", options->max_tokens,
             "tokens to write at most (default: the checkpoint's)", "N");
  add_number(*verb, "--seed", sampling.seed, "of the random numbers (default: random, printed)", "N");
  add_number(*verb, "--temperature", sampling.temperature, "0: always the likeliest token", "T");
  add_number(*verb, "--top-k", sampling.top_k, "keep the K likeliest tokens; 0: all", "K");
  add_number(*verb, "--top-p", sampling.top_p, "keep the likeliest tokens up to this mass; 1: all", "P");
  add_number(*verb, "--min-p", sampling.min_p, "drop tokens below this share of the likeliest", "P");
  add_number(*verb, "--repetition-penalty", sampling.repetition_penalty, "above 1: fewer repetitions", "R");
  add_number(*verb, "--frequency-penalty", sampling.frequency_penalty, "per use of a token", "F");
  add_number(*verb, "--presence-penalty", sampling.presence_penalty, "for any use of a token", "F");
  verb->add_option("--stop", generate.stop, "end before this text (may be repeated)")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  verb->add_flag("--ignore-eos", generate.ignore_eos, "write on when the model ends the text");
  // A flag takes its value after "=" only: the prompt may follow it.
  verb->add_flag("--stats{table}", options->stats,
                 "pools, KV cache, launches, plans on standard error; --stats=json");
  verb->add_flag("-q,--quiet", options->quiet, "no statistics on standard error");
  verb->footer(
      "Sampling defaults come from the checkpoint's generation_config.json.\n"
      "Example: ingot run --seed 7 -n 200 \"Once upon a time\"");
  verb->callback([options] { run(*options); });
}

}  // namespace ingot::cli
