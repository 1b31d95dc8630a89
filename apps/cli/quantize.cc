// ingot quantize: a model in, one GGUF file out.
#include "ingot/quantize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "signals.h"
#include "verbs.h"

namespace ingot::cli {
namespace {

struct Options {
  std::string input;
  std::string output;
  QuantizeOptions quantize;
  bool dry_run = false;
  bool json = false;
};

/// A bar that redraws itself on a terminal; a line every tenth of the way elsewhere.
class ProgressLine {
 public:
  ~ProgressLine() { end(); }

  void draw(const QuantizeProgress& progress) {
    if (progress.total_bytes == 0) return;
    const auto share = static_cast<double>(progress.done_bytes) / static_cast<double>(progress.total_bytes);
    if (!is_terminal_) {
      for (; next_tenth_ < 10 && share * 10 >= next_tenth_; ++next_tenth_) {
        fmt::print(stderr, "ingot: {} % of {}\n", next_tenth_ * 10, human_bytes(progress.total_bytes));
      }
      return;
    }
    const auto now = std::chrono::steady_clock::now();
    const bool is_last = progress.done_bytes == progress.total_bytes;
    if (drawn_ && !is_last && now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    drawn_ = true;
    constexpr int kWidth = 30;
    const auto filled = static_cast<int>(kWidth * share);
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double speed = seconds > 0 ? static_cast<double>(progress.done_bytes) / seconds : 0;
    fmt::print(stderr, "\r[{:#<{}}{:.<{}}] {:3.0f} %  {}/s  {:<28.28}\x1b[K", "", filled, "", kWidth - filled,
               100 * share, human_bytes(static_cast<int64_t>(speed)), progress.tensor);
  }

  void end() {
    if (drawn_) std::fputc('\n', stderr);
    drawn_ = false;
  }

 private:
  const bool is_terminal_ = ::isatty(STDERR_FILENO) != 0;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_;
  bool drawn_ = false;
  int next_tenth_ = 1;
};

struct TypeTotal {
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t bytes = 0;
};

std::map<DType, TypeTotal> totals(const QuantizeResult& result) {
  std::map<DType, TypeTotal> by_type;
  for (const QuantizedTensor& tensor : result.tensors) {
    TypeTotal& total = by_type[tensor.to];
    ++total.tensors;
    total.parameters += tensor.elements();
    total.bytes += tensor.bytes;
  }
  return by_type;
}

void print_tensors(const QuantizeResult& result) {
  for (const QuantizedTensor& tensor : result.tensors) {
    fmt::print("{:<36} {:>16}  {:>7} -> {}{}\n", tensor.name,
               fmt::format("{}", fmt::join(tensor.shape, " x ")), to_string(tensor.from),
               to_string(tensor.to),
               tensor.to == tensor.wanted ? "" : fmt::format(" (in place of {})", to_string(tensor.wanted)));
  }
}

void print_summary(const Options& options, const QuantizeResult& result) {
  const int64_t bytes = options.dry_run ? result.weight_bytes : result.output_bytes;
  fmt::print("{}: {} {} of {}, {:.2f} bits a weight\n",
             options.output.empty() ? std::string("weights") : options.output, result.type,
             human_bytes(bytes), human_bytes(result.input_bytes), result.bits_per_weight());
  for (const auto& [type, total] : totals(result)) {
    fmt::print("  {:<6} {:>5} {:<8} {:>14} weights  {:>10}\n", to_string(type), total.tensors,
               total.tensors == 1 ? "tensor" : "tensors", total.parameters, human_bytes(total.bytes));
  }
  for (const std::string& note : result.notes) fmt::print("  note: {}\n", note);
  if (options.dry_run) return;
  fmt::print("  {:.1f} s, {:.2f} GB/s read\n", result.seconds,
             static_cast<double>(result.input_bytes) / result.seconds / 1e9);
}

void print_json(const Options& options, const QuantizeResult& result) {
  nlohmann::ordered_json types = nlohmann::ordered_json::object();
  for (const auto& [type, total] : totals(result)) {
    types[std::string(to_string(type))] = {
        {"tensors", total.tensors}, {"parameters", total.parameters}, {"bytes", total.bytes}};
  }
  const nlohmann::ordered_json json = {{"output", options.output},
                                       {"type", result.type},
                                       {"input_bytes", result.input_bytes},
                                       {"output_bytes", result.output_bytes},
                                       {"weight_bytes", result.weight_bytes},
                                       {"parameters", result.parameters},
                                       {"bits_per_weight", result.bits_per_weight()},
                                       {"types", types},
                                       {"notes", result.notes},
                                       {"seconds", result.seconds}};
  fmt::print("{}\n", json.dump());
}

/// Nothing where a signal cancelled it.
std::optional<QuantizeResult> run(const Options& options) {
  if (options.dry_run) return plan_quantize(options.input, options.quantize);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of write, and no end of the process
  const CatchInterrupt catch_interrupt(/*terminations=*/true);
  ProgressLine line;
  QuantizeOptions quantize_options = options.quantize;
  quantize_options.on_part = [](const std::string& part) { remove_on_signal(part); };
  quantize_options.progress = [&](const QuantizeProgress& progress) {
    if (!options.json) line.draw(progress);
    return !interrupted();
  };
  try {
    QuantizeResult result = quantize(options.input, options.output, quantize_options);
    remove_on_signal("");
    return result;
  } catch (const Error& error) {
    remove_on_signal("");
    line.end();
    if (!interrupted()) throw;
    fmt::print(stderr, "ingot: {}\n", error.what());
    set_exit_code(interrupt_code());
    return std::nullopt;
  }
}

void quantize(const Options& options) {
  if (options.output.empty() && !options.dry_run) {
    throw Error(ErrorCode::invalid_argument, "OUT: expected the name of a file to write, found none");
  }
  name_checkpoint(options.input);
  const std::optional<QuantizeResult> result = run(options);
  if (!result) return;
  if (options.json) return print_json(options, *result);
  if (options.dry_run) print_tensors(*result);
  print_summary(options, *result);
}

std::string footer() {
  std::string text = "Types:\n";
  for (const QuantizeType& type : quantize_types())
    text += fmt::format("  {:<8} {}\n", type.name, type.description);
  return text + "Example: ingot quantize models/storyteller storyteller-q8_0.gguf --type q8_0";
}

}  // namespace

void add_quantize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("quantize", "Write a model as a smaller GGUF file");
  verb->add_option("IN", options->input, "a Hugging Face folder or a GGUF file")->required();
  verb->add_option("OUT", options->output, "the GGUF file to write");
  verb->add_option("-t,--type", options->quantize.type, "of the weights (default: q4_k_m)")
      ->type_name("TYPE");
  verb->add_flag("-f,--force", options->quantize.force, "replace OUT if it exists");
  add_number(*verb, "--threads", options->quantize.threads, "(default: as many as the machine has room for)",
             "N");
  verb->add_flag("--dry-run", options->dry_run, "write nothing, tell the type of every tensor");
  verb->add_flag("--json", options->json, "one JSON object in place of the summary");
  verb->footer(footer());
  verb->callback([options] { quantize(*options); });
}

}  // namespace ingot::cli
