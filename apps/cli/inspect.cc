// ingot inspect: what a checkpoint is and what it will take.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "verbs.h"

namespace ingot::cli {
namespace {

void print_tensors(const ModelInfo& info) {
  fmt::print("\n{:<60} {:<5} {}\n", "tensor", "type", "shape");
  for (const TensorInfo& tensor : info.tensors) {
    fmt::print("{:<60} {:<5} [{}]\n", tensor.name, to_string(tensor.dtype), fmt::join(tensor.shape, ", "));
  }
}

void inspect(const ModelOptions& options, bool tensors) {
  const LLM llm = load(options);
  const ModelInfo& info = llm.info();
  const auto row = [](std::string_view name, const std::string& value) {
    fmt::print("{:<16}{}\n", name, value);
  };
  std::string dtypes;
  for (const auto& [dtype, count] : info.parameters_by_dtype) {
    dtypes += fmt::format("{}{} ({:.2f} M)", dtypes.empty() ? "" : ", ", to_string(dtype),
                          static_cast<double>(count) * 1e-6);
  }
  row("checkpoint", info.folder);
  row("architecture",
      fmt::format("{}{}{}", info.architecture, info.notes.empty() ? "" : ", ", fmt::join(info.notes, ", ")));
  row("parameters", fmt::format("{:.2f} M, {}", static_cast<double>(info.parameters) * 1e-6, dtypes));
  row("layers", fmt::format("{} of width {}, {} heads ({} for keys and values) of {} dimensions", info.layers,
                            info.hidden, info.heads, info.kv_heads, info.head_dim));
  row("vocabulary", fmt::format("{} rows, {} tokens in the tokenizer", info.vocab, info.tokenizer_tokens));
  row("context", fmt::format("{} tokens at most", info.max_context));
  row("chat template", info.has_chat_template ? "yes (`run` does not apply it)" : "no");
  row("tensors", fmt::format("{}", info.tensors.size()));
  row("device", llm.device());
  const MemoryPlan memory = llm.memory();
  fmt::print("\nmemory for one sequence of {} tokens\n", memory.context);
  row("  weights", human_bytes(memory.weights) + ", mapped from the checkpoint");
  row("  KV cache", human_bytes(memory.kv_cache) + ", touched as it fills");
  row("  activations", human_bytes(memory.activations));
  row("  program", human_bytes(memory.program) + ", code, tokenizer and graph, measured");
  row("  total", human_bytes(memory.total()));
  if (tensors) print_tensors(info);
}

}  // namespace

void add_inspect(CLI::App& app) {
  struct Options {
    ModelOptions model;
    bool tensors = false;
    bool memory = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("inspect", "Show a checkpoint: architecture, parameters, tensors, memory");
  add_model_options(*verb, options->model, &options->memory);
  verb->add_flag("--tensors", options->tensors, "list every tensor");
  verb->footer("Example: ingot inspect -m FOLDER --context 8192");
  verb->callback([options] { inspect(options->model, options->tensors); });
}

}  // namespace ingot::cli
