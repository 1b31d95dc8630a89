// The verbs of the command line: each adds its subcommand and what it runs. One file a verb.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
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
void add_bench_ops(CLI::App& bench);
void add_calibrate(CLI::App& app);
void add_explain(CLI::App& app);
void add_tune(CLI::App& app);
void add_quantize(CLI::App& app);

/// A number, or what an optional number holds.
template <class Target>
struct NumberOf {
  using type = Target;
};
template <class Target>
struct NumberOf<std::optional<Target>> {
  using type = Target;
};
template <class Target>
using number_of_t = typename NumberOf<Target>::type;
[[noreturn]] void refuse_number(const std::string& option, const std::string& text, bool is_integer);

/// Reads strictly: "1.5" is no integer, "-1" no seed, and nothing overflows.
template <class Number>
Number read_number(const std::string& option, const std::string& text) {
  Number number{};
  const char* end = text.data() + text.size();
  const std::from_chars_result read = std::from_chars(text.data(), end, number);
  if (read.ec != std::errc() || read.ptr != end) refuse_number(option, text, std::is_integral_v<Number>);
  return number;
}

/// Options that every verb with a model has.
struct ModelOptions {
  std::optional<std::string> folder;
  LoadOptions load;
};
/// `tell_memory`: of a verb whose --memory may stand alone, which sets it.
void add_model_options(CLI::App& verb, ModelOptions& options, bool* tell_memory = nullptr);
/// Those of them that say how a model is compiled: devices, fusion, routing, memory.
void add_compile_options(CLI::App& verb, CompileOptions& options, bool* tell_memory = nullptr);
/// Loads, and from then on names the checkpoint if one of its files shrinks under the mapping.
LLM load(const ModelOptions& options);
/// The folder that the options name, checked and named likewise, without loading it.
std::string checked_folder(const ModelOptions& options);

/// What a model takes: a table for people, or one JSON object with bytes.
void print_memory(const MemoryPlan& plan);
void print_memory_json(const std::string& folder, const MemoryPlan& plan);

/// What an LLM did, on standard error: a table for people, or one line of JSON.
void print_statistics(const Statistics& statistics);
void print_statistics_json(const Statistics& statistics);

/// The folder of the checkpoint that ships with Ingot.
std::string storyteller();

/// An option with one number.
template <class Target>
CLI::Option* add_number(CLI::App& verb, const std::string& name, Target& target, const std::string& help,
                        const std::string& type) {
  const auto read = [&target, name](const CLI::results_t& values) {
    target = read_number<number_of_t<Target>>(name, values.front());
    return true;
  };
  return verb.add_option(name, read, help)->type_name(type)->expected(1);
}

/// All of standard input. Errors: io.
std::string read_standard_input();
/// All of a file. Errors: io.
std::string read_file(const std::string& path);
/// Writes to standard output at once. Throws std::system_error when that fails: the disk is full, say.
void write_text(std::string_view text);

/// The parts of a list "a,b". Throws CLI::ValidationError, with what the option expects, for an empty part.
std::vector<std::string> read_list(const std::string& option, const std::string& expected,
                                   const std::string& text);
/// "29.7 MiB"
std::string human_bytes(int64_t bytes);

/// When main() began: times to the first token count from there.
std::chrono::steady_clock::time_point process_start();

/// What main() returns: 0, 2 for bad input (Error), 1 for a fault of Ingot or the machine, 130 after Ctrl-C.
void set_exit_code(int code);

}  // namespace ingot::cli
