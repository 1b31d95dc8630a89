#include "signals.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <iterator>

namespace ingot::cli {
namespace {

// Signal handlers reach nothing but statics.
volatile std::sig_atomic_t interrupts = 0;
volatile std::sig_atomic_t is_caught = 0;
volatile std::sig_atomic_t last_signal = SIGINT;
std::array<char, 4096> checkpoint{};
std::array<char, 4096> unfinished{};  // a file to remove; empty: none

constexpr int kTerminations[] = {SIGTERM, SIGHUP};
std::array<struct sigaction, std::size(kTerminations)> actions_before{};
bool catches_terminations = false;

void say(const char* text) {
  const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
  static_cast<void>(written);  // nothing can be done about it here
}

void remove_unfinished() {
  if (unfinished[0] != '\0') ::unlink(unfinished.data());
}

void on_interrupt(int signal) {
  interrupts = interrupts + 1;
  last_signal = signal;
  if (is_caught != 0 && interrupts == 1) return;
  remove_unfinished();
  ::_exit(128 + signal);
}

void on_bus_error(int) {
  say("ingot: ");
  say(checkpoint.data());
  say(": a file of this checkpoint shrank while it was in use\n");
  remove_unfinished();
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

void remove_on_signal(const std::string& path) {
  unfinished[0] = '\0';  // at no time half a name
  if (path.empty() || path.size() >= unfinished.size()) return;
  std::copy(path.begin() + 1, path.end(), unfinished.begin() + 1);
  unfinished[path.size()] = '\0';
  unfinished[0] = path[0];
}

CatchInterrupt::CatchInterrupt(bool terminations) {
  interrupts = 0;
  is_caught = 1;
  catches_terminations = terminations;
  if (!terminations) return;
  struct sigaction catching {};
  catching.sa_handler = on_interrupt;
  catching.sa_flags = SA_RESTART;
  for (size_t i = 0; i < std::size(kTerminations); ++i) {
    ::sigaction(kTerminations[i], &catching, &actions_before[i]);
    // nohup and its like ignore a signal for good.
    if (actions_before[i].sa_handler == SIG_IGN) ::sigaction(kTerminations[i], &actions_before[i], nullptr);
  }
}

CatchInterrupt::~CatchInterrupt() {
  is_caught = 0;
  if (!catches_terminations) return;
  for (size_t i = 0; i < std::size(kTerminations); ++i) {
    ::sigaction(kTerminations[i], &actions_before[i], nullptr);
  }
}

bool interrupted() {
  return interrupts > 0;
}

int interrupt_code() {
  return 128 + last_signal;
}

}  // namespace ingot::cli
