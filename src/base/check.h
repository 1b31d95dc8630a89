// How Ingot fails: fail() for bad input, INGOT_CHECK for broken invariants (active in release builds).
#pragma once

#include <fmt/format.h>

#include <utility>

#include "ingot/error.h"

namespace ingot {

/// Throws Error{code} with a formatted message.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] void check_failed(const char* condition, const char* file, int line, const std::string& message);

}  // namespace ingot

/// INGOT_CHECK(condition, "format", args...): throws Error{internal} that names the condition and the place.
#define INGOT_CHECK(condition, ...)                                                                      \
  do {                                                                                                   \
    if (!(condition)) ::ingot::check_failed(#condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
