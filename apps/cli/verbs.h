// The verbs of the command line: each adds its subcommand and what it runs. One file a verb.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "ingot/llm.h"

namespace ingot::cli {

void add_run(CLI::App& app);
void add_inspect(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_perplexity(CLI::App& app);
void add_bench(CLI::App& app);

/// Options that every verb with a model has.
struct ModelOptions {
  std::string folder;
  LoadOptions load;
};
void add_model_options(CLI::App& verb, ModelOptions& options);
/// Loads, and from then on names the checkpoint if one of its files shrinks under the mapping.
LLM load(const ModelOptions& options);

/// The folder of the checkpoint that ships with Ingot.
std::string storyteller();

/// All of standard input.
std::string read_standard_input();

/// "29.7 MiB"
std::string human_bytes(int64_t bytes);

/// When main() began: times to the first token count from there.
std::chrono::steady_clock::time_point process_start();

/// Set by Ctrl-C. The first one asks a verb to end; a second one ends the process.
bool interrupted();
void clear_interrupt();

/// What main() returns: 0, 2 for bad input (Error), 1 for a fault of Ingot or the machine, 130 after Ctrl-C.
void set_exit_code(int code);

}  // namespace ingot::cli
