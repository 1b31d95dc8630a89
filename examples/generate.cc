// The program of README.md: streams a text from a checkpoint.
#include <ingot/llm.h>

#include <cstdio>

int main(int argc, char** argv) {
  try {
    ingot::LLM llm = ingot::LLM::load(argc > 1 ? argv[1] : "models/storyteller");
    ingot::GenerateOptions options;
    options.max_tokens = 100;
    options.sampling.seed = 7;
    llm.generate("Once upon a time", options, [](std::string_view piece) {
      return std::fwrite(piece.data(), 1, piece.size(), stdout) == piece.size();  // false ends the text
    });
    std::fputc('\n', stdout);
  } catch (const ingot::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}
