// Runs the program `ingot` as a person does: arguments, standard input, captured output, exit code, a time
// limit.
//
// A Process owns its child and its ends of the pipes; a child that still runs when it goes is killed. Used by
// one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::cli_test {

/// What a program did.
struct Result {
  int code = -1;           // exit code; -1 if a signal ended it
  int signal = 0;          // that ended it, or 0
  bool timed_out = false;  // and was killed
  std::string out;         // standard output
  std::string err;         // standard error
  int64_t peak_bytes = 0;  // most memory resident at once (ru_maxrss)
  double seconds = 0;
};

/// Where the child's standard streams go.
struct Streams {
  enum class Input { nothing, pipe, closed };
  Input input = Input::nothing;  // nothing: /dev/null
  std::string output_file = {};  // in place of the pipe that is captured
  bool close_output = false;     // starts without a standard output
  std::string folder = {};       // working directory; empty: this one
};

class Process {
 public:
  Process(const std::vector<std::string>& arguments, const Streams& streams = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void write(std::string_view text);
  void close_input();
  /// Closes this end of standard output, as a pager does that has seen enough.
  void close_output();
  void interrupt(int signal = SIGINT) const;
  /// Reads until standard output (or error) holds `text`, or the process ends, or the time is over.
  bool wait_for_output(std::string_view text, double seconds = 60);
  bool wait_for_error(std::string_view text, double seconds = 60);
  /// Waits for the end.
  Result finish(double seconds = 120);

 private:
  void pump(int timeout_ms);
  bool is_open() const { return out_ >= 0 || err_ >= 0; }
  bool wait_for(const std::string& stream, std::string_view text, double seconds);

  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  int err_ = -1;
  Result result_;
  std::chrono::steady_clock::time_point start_;
};

/// Runs `ingot` to its end; with `input` on standard input if there is one.
Result ingot(const std::vector<std::string>& arguments,
             const std::optional<std::string>& input = std::nullopt);

}  // namespace ingot::cli_test
