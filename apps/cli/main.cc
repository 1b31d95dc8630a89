#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "signals.h"
#include "verbs.h"

namespace ingot::cli {
namespace {

int exit_code = 0;
const auto start = std::chrono::steady_clock::now();

int code_of(ErrorCode code) {
  return code == ErrorCode::internal || code == ErrorCode::out_of_memory || code == ErrorCode::device_failed
             ? 1
             : 2;
}

/// A process started without a standard stream would find a file that it opens in its place.
void fill_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // Output that nobody asked for fails on write rather than vanish.
    const int opened = ::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
    if (opened < 0) return;
  }
}

/// One line: what is wrong, and where to look.
int refuse(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const auto verbs = app.get_subcommands();  // those on the command line
  const std::string help =
      verbs.empty() ? "ingot --help" : fmt::format("ingot {} --help", verbs.front()->get_name());
  std::string what = error.what();
  if (verbs.empty() && (argc < 2 || argv[1][0] != '-')) {
    std::string names;
    for (const CLI::App* verb : app.get_subcommands({}))
      names += (names.empty() ? "" : ", ") + verb->get_name();
    what = fmt::format("expected a verb ({}), found {}", names,
                       argc < 2 ? "none" : fmt::format("'{}'", argv[1]));
  }
  for (char& c : what) {
    if (c == '\n') c = ' ';
  }
  fmt::print(stderr, "ingot: {}; see {}\n", what, help);
  return 2;
}

/// Output that is still buffered may have nowhere to go.
int flush_output(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  fmt::print(stderr, "ingot: standard output: {}\n", std::strerror(errno));
  return code == 0 ? 1 : code;
}

}  // namespace

std::chrono::steady_clock::time_point process_start() {
  return start;
}
void set_exit_code(int code) {
  exit_code = code;
}

int main(int argc, char** argv) {
  fill_standard_streams();
  install_signal_handlers();
  CLI::App app("Ingot runs open-weight language models on the machine you have.", "ingot");
  app.set_version_flag("--version", std::string("ingot ") + std::string(version()), "Print the version");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer(
      "Examples:\n  ingot run                        a story from the checkpoint that ships\n"
      "  ingot run -m FOLDER \"Once upon\"  continue a text\n  ingot VERB --help                options of a "
      "verb");
  add_run(app);
  add_inspect(app);
  add_tokenize(app);
  add_perplexity(app);
  add_bench(app);
  add_calibrate(app);
  add_explain(app);
  add_tune(app);
  add_quantize(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 has its own numbers; bad input is 2 everywhere in Ingot. Help and the version are "errors" with
    // code 0.
    return error.get_exit_code() == 0 ? flush_output(app.exit(error)) : refuse(app, error, argc, argv);
  } catch (const Error& error) {
    std::fprintf(stderr, "ingot: %s\n", error.what());
    return code_of(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ingot: %s\n", error.what());
    return 1;
  }
  return flush_output(exit_code);
}

}  // namespace ingot::cli

int main(int argc, char** argv) {
  return ingot::cli::main(argc, argv);
}
