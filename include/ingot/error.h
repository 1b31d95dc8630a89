// The one exception type of Ingot.
//
// Bad input (a file, a parameter, a prompt) throws Error with a code and a message that names the file or
// parameter, what was expected and what was found. Broken invariants throw Error{internal} through
// INGOT_CHECK. Nothing else escapes a public function.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace ingot {

enum class ErrorCode {
  invalid_argument,  // a parameter or prompt outside its range
  invalid_file,      // a file that breaks its format
  not_found,         // a file, tensor or name that does not exist
  unsupported,       // well-formed input that Ingot does not handle
  out_of_memory,     // a pool, cache or context that is full
  io,                // the operating system refused a read or a mapping
  device_failed,     // a device reported an error, or is lost
  internal,          // a broken invariant: a bug in Ingot
};

/// The code's name as printed in messages, for example "invalid_file".
std::string_view to_string(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace ingot
