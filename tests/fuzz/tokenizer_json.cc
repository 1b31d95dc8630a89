// Any bytes are either refused with an Error of bad input, or become a tokenizer that encodes and decodes.
#include "tokenizer_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ingot::text;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  accepted([&] {
    const Tokenizer tokenizer = Tokenizer::from_json(bytes, "fuzz");
    check(tokenizer, kText);
    check(tokenizer, bytes.substr(0, 200));
  });
  return 0;
}
