// Speed of a tokenizer on a text file, one thread:
//
//     bench_text TOKENIZER_FOLDER TEXT_FILE
//
// Prints the processor time to load, then MB/s of the whole file as one document and of its lines one by one
// (best of three), each with a checksum of the ids to compare with other implementations.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "ingot/error.h"
#include "text/tokenizer.h"

namespace ingot::text {
namespace {

// Time of this thread on a processor: other load on the machine does not count.
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double seconds_of(auto&& work) {
  const double start = processor_seconds();
  work();
  return processor_seconds() - start;
}

struct Sum {
  size_t tokens = 0;
  uint64_t ids = 0;
  void add(const std::vector<int32_t>& list) {
    tokens += list.size();
    for (const int32_t id : list) ids = ids * 31 + static_cast<uint64_t>(id);
  }
};

void report(std::string_view what, size_t bytes, auto&& encode_all) {
  double best = 1e9;
  Sum sum;
  for (int round = 0; round < 3; ++round) {
    sum = {};
    best = std::min(best, seconds_of([&] { encode_all(sum); }));
  }
  fmt::print("{:<9} {:8.1f} MB/s  {:.3f} s  {} tokens, checksum {:016x}\n", what,
             static_cast<double>(bytes) / best / 1e6, best, sum.tokens, sum.ids);
}

int run(const char* folder, const char* path) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  double load = 1e9;
  for (int round = 0; round < 3; ++round) {
    load = std::min(load, seconds_of([&] { Tokenizer::load(folder); }));
  }
  const Tokenizer tokenizer = Tokenizer::load(folder);
  fmt::print("load      {:8.1f} ms, {} ids\n", load * 1e3, tokenizer.vocab_size());
  report("document", text.size(), [&](Sum& sum) { sum.add(tokenizer.encode(text, false)); });
  report("lines", text.size(), [&](Sum& sum) {
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      sum.add(tokenizer.encode(text.substr(begin, end - begin), false));
      begin = end + 1;
    }
  });
  return 0;
}

}  // namespace
}  // namespace ingot::text

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: bench_text TOKENIZER_FOLDER TEXT_FILE\n");
    return 2;
  }
  try {
    return ingot::text::run(argv[1], argv[2]);
  } catch (const ingot::Error& error) {
    fmt::print(stderr, "bench_text: {}\n", error.what());
    return 2;
  }
}
