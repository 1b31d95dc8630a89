// Any text is either refused with an Error, or becomes tunings whose text reads back the same.
#include <cstdint>
#include <cstdlib>

#include "exec/tuning_file.h"
#include "ingot/error.h"

namespace {

using namespace ingot;

std::vector<exec::Tuning> parse(std::string_view text) {
  try {
    return exec::parse_tunings(text);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_file) std::abort();
    return {};
  }
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<exec::Tuning> tunings = parse({reinterpret_cast<const char*>(data), size});
  for (const exec::Tuning& tuning : tunings) {
    require(tuning.identity.threads >= 1);
    for (const backend::TunedForm& form : tuning.forms) require(form.step_us >= 0 && form.rule_us >= 0);
  }
  const std::string text = exec::tunings_text(tunings);
  const std::vector<exec::Tuning> again = exec::parse_tunings(text);
  require(again.size() == tunings.size() && exec::tunings_text(again) == text);
  return 0;
}
