#include "signals.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

namespace ingot::cli {
namespace {

// Signal handlers reach nothing but statics.
volatile std::sig_atomic_t interrupts = 0;
volatile std::sig_atomic_t is_caught = 0;
std::array<char, 4096> checkpoint{};

void say(const char* text) {
  const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
  static_cast<void>(written);  // nothing can be done about it here
}

void on_interrupt(int) {
  interrupts = interrupts + 1;
  if (is_caught == 0 || interrupts > 1) ::_exit(130);
}

void on_bus_error(int) {
  say("ingot: ");
  say(checkpoint.data());
  say(": a file of this checkpoint shrank while it was in use\n");
  ::_exit(2);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction interrupt {};
  interrupt.sa_handler = on_interrupt;
  interrupt.sa_flags = SA_RESTART;  // a caught one interrupts no write of text
  ::sigaction(SIGINT, &interrupt, nullptr);
  struct sigaction bus {};
  bus.sa_handler = on_bus_error;
  ::sigaction(SIGBUS, &bus, nullptr);
  // A reader that closes the pipe ends the process with EPIPE on write, which is not an error worth a word.
  std::signal(SIGPIPE, SIG_DFL);
}

void name_checkpoint(const std::string& folder) {
  const size_t length = std::min(folder.size(), checkpoint.size() - 1);
  std::copy_n(folder.begin(), length, checkpoint.begin());
  checkpoint[length] = '\0';
}

CatchInterrupt::CatchInterrupt() {
  interrupts = 0;
  is_caught = 1;
}

CatchInterrupt::~CatchInterrupt() {
  is_caught = 0;
}

bool interrupted() {
  return interrupts > 0;
}

}  // namespace ingot::cli
