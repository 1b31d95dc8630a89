// Ctrl-C, and files that shrink while they are mapped.
#pragma once

#include <string>

namespace ingot::cli {

/// From then on Ctrl-C ends the process with code 130, and a file that shrinks under its mapping with code 2.
void install_signal_handlers();

/// While one lives, Ctrl-C sets interrupted() instead, so that a verb can end its work; a second one ends the
/// process. `terminations`: so do requests to terminate and a terminal that closes.
class CatchInterrupt {
 public:
  explicit CatchInterrupt(bool terminations = false);
  ~CatchInterrupt();
  CatchInterrupt(const CatchInterrupt&) = delete;
  CatchInterrupt& operator=(const CatchInterrupt&) = delete;
};

/// Whether Ctrl-C came since the last CatchInterrupt was made.
bool interrupted();
/// The exit code that says so: 130 for Ctrl-C, 128 and the signal's number for another.
int interrupt_code();

/// A file to remove if a signal ends the process; empty: none. Keeps a copy.
void remove_on_signal(const std::string& path);

/// The checkpoint to name if reading a mapped file fails (SIGBUS). Keeps a copy.
void name_checkpoint(const std::string& folder);

}  // namespace ingot::cli
