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
  fmt::print("\n");
  print_memory(llm.memory());
  if (tensors) print_tensors(info);
}

/// Before loading: no weight is read.
void inspect_memory(const ModelOptions& options, bool json) {
  const std::string folder = checked_folder(options);
  const MemoryPlan plan = plan_memory(folder, options.load);
  if (json) {
    print_memory_json(folder, plan);
    return;
  }
  fmt::print("{:<16}{}\n\n", "checkpoint", folder);
  print_memory(plan);
}

}  // namespace

void add_inspect(CLI::App& app) {
  struct Options {
    ModelOptions model;
    bool tensors = false;
    bool memory = false;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      app.add_subcommand("inspect", "Show a checkpoint: architecture, parameters, tensors, memory");
  add_model_options(*verb, options->model, &options->memory);
  verb->add_flag("--tensors", options->tensors, "list every tensor");
  verb->add_flag("--json", options->json, "with --memory: one JSON object, bytes");
  verb->footer("Example: ingot inspect -m FOLDER --memory --context 8192 --sequences 4");
  verb->callback([options] {
    if (!options->memory && options->json) {
      throw CLI::ValidationError("--json: expected together with --memory, found without it");
    }
    if (options->memory && options->tensors) {
      throw CLI::ValidationError("--tensors: expected without --memory, found with it");
    }
    if (options->memory) {
      inspect_memory(options->model, options->json);
    } else {
      inspect(options->model, options->tensors);
    }
  });
}

}  // namespace ingot::cli
