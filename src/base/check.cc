#include "base/check.h"

namespace ingot {

void check_failed(const char* condition, const char* file, int line, const std::string& message) {
  fail(ErrorCode::internal, "internal error: {} ({} is false at {}:{})", message, condition, file, line);
}

}  // namespace ingot
