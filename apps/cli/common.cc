#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <system_error>

#include "signals.h"
#include "verbs.h"

namespace ingot::cli {
namespace {

std::string read_all(std::FILE* file, const std::string& name) {
  std::string text;
  char buffer[65536];
  while (true) {
    const size_t count = std::fread(buffer, 1, sizeof buffer, file);
    text.append(buffer, count);
    if (count == sizeof buffer) continue;
    if (std::ferror(file) != 0) {
      throw Error(ErrorCode::io, fmt::format("{}: cannot read: {}", name, std::strerror(errno)));
    }
    return text;
  }
}

}  // namespace

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

void add_model_options(CLI::App& verb, ModelOptions& options, bool* tell_memory) {
  verb.add_option("-m,--model", options.folder, "Hugging Face folder or GGUF file (default: storyteller)")
      ->type_name("FOLDER");
  add_number(verb, "--context", options.load.context,
             fmt::format("tokens of context (default: the model's own, at most {})", kDefaultContext), "N");
  add_number(verb, "--sequences", options.load.sequences, "to set memory aside for (default: 1)", "N");
  add_compile_options(verb, options.load.compile, tell_memory);
}

std::string checked_folder(const ModelOptions& options) {
  std::string folder = options.folder ? *options.folder : storyteller();
  if (folder.empty())
    throw Error(ErrorCode::invalid_argument, "--model: expected a FOLDER, found an empty string");
  name_checkpoint(folder);
  return folder;
}

LLM load(const ModelOptions& options) {
  LLM llm = LLM::load(checked_folder(options), options.load);
  for (const std::string& note : llm.notes()) fmt::print(stderr, "ingot: {}\n", note);
  return llm;
}

void refuse_number(const std::string& option, const std::string& text, bool is_integer) {
  throw CLI::ValidationError(fmt::format("{}: expected {}, found '{}'", option.substr(option.rfind(',') + 1),
                                         is_integer ? "a whole number in range" : "a number", text));
}

std::string read_standard_input() {
  return read_all(stdin, "standard input");
}

std::string read_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw Error(ErrorCode::io, fmt::format("{}: cannot read: {}", path, std::strerror(errno)));
  return read_all(file.get(), path);
}

void write_text(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) < text.size() || std::fflush(stdout) != 0) {
    throw std::system_error(errno, std::generic_category(), "standard output");
  }
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
