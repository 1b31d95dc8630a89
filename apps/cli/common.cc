#include <fmt/format.h>
#include <unistd.h>

#include <climits>
#include <filesystem>
#include <iostream>
#include <iterator>

#include "signals.h"
#include "verbs.h"

namespace ingot::cli {

std::string storyteller() {
  // Beside the binary's build tree first, so that a moved clone works; else where the build was.
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  if (length > 0) {
    const std::filesystem::path binary(std::string(path, static_cast<size_t>(length)));
    const auto folder = binary.parent_path() / "../../../models/storyteller";
    if (std::filesystem::exists(folder)) return std::filesystem::canonical(folder).string();
  }
  return INGOT_MODELS_DIR "/storyteller";
}

void add_model_options(CLI::App& verb, ModelOptions& options) {
  verb.add_option("-m,--model", options.folder, "Hugging Face folder (default: the storyteller that ships)")
      ->type_name("FOLDER");
  verb.add_option("--threads", options.load.threads, "CPU threads (default: all this process may use)")
      ->type_name("N");
  verb.add_option("--context", options.load.context,
                  fmt::format("tokens of context (default: the model's own, at most {})", kDefaultContext))
      ->type_name("N");
  std::string names;
  for (const std::string& name : devices()) names += (names.empty() ? "" : ", ") + name;
  verb.add_option("--device", options.load.device, fmt::format("device to run on: {}", names))->type_name("NAME");
}

LLM load(const ModelOptions& options) {
  const std::string folder = options.folder.empty() ? storyteller() : options.folder;
  name_checkpoint(folder);
  return LLM::load(folder, options.load);
}

std::string read_standard_input() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

std::string human_bytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace ingot::cli
