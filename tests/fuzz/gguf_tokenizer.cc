// Any bytes are either refused with an Error of bad input, or a GGUF file whose vocabulary, where it has one,
// becomes a tokenizer that encodes and decodes.
#include "text/gguf_tokenizer.h"
#include "base/log.h"
#include "format/gguf.h"
#include "tokenizer_checks.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  ingot::set_log_level("off");
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot::text;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  accepted([&] {
    const auto file = ingot::format::parse_gguf(std::as_bytes(std::span(data, size)), "fuzz");
    if (!has_vocabulary(file.metadata)) return;
    const Tokenizer tokenizer = Tokenizer::from_gguf(file.metadata, "fuzz");
    check(tokenizer, kText);
    check(tokenizer, bytes.substr(0, 200));
  });
  return 0;
}
