#include "backend/backend.h"

namespace ingot::backend {

std::string_view to_string(StepClass step) {
  return step == StepClass::prefill ? "prefill" : "decode";
}

}  // namespace ingot::backend
