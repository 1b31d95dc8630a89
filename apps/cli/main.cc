#include <csignal>
#include <cstdio>

#include "signals.h"
#include "verbs.h"

namespace ingot::cli {
namespace {

int exit_code = 0;
const auto start = std::chrono::steady_clock::now();

int code_of(ErrorCode code) { return code == ErrorCode::internal || code == ErrorCode::out_of_memory ? 1 : 2; }

}  // namespace

std::chrono::steady_clock::time_point process_start() { return start; }
void set_exit_code(int code) { exit_code = code; }

int main(int argc, char** argv) {
  install_signal_handlers();
  CLI::App app("Ingot runs open-weight language models on the machine you have.", "ingot");
  app.set_version_flag("--version", std::string("ingot ") + std::string(version()), "Print the version");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer("Examples:\n  ingot run                        a story from the checkpoint that ships\n"
             "  ingot run -m FOLDER \"Once upon\"  continue a text\n  ingot VERB --help                options of a verb");
  add_run(app);
  add_inspect(app);
  add_tokenize(app);
  add_perplexity(app);
  add_bench(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 has its own numbers; bad input is 2 everywhere in Ingot.
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const Error& error) {
    std::fprintf(stderr, "ingot: %s\n", error.what());
    return code_of(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ingot: %s\n", error.what());
    return 1;
  }
  return exit_code;
}

}  // namespace ingot::cli

int main(int argc, char** argv) { return ingot::cli::main(argc, argv); }
