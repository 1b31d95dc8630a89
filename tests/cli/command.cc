#include "cli/command.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace ingot::cli_test {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error(std::strerror(errno));
  return ends;
}

void close_fd(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

// After fork(): nothing but system calls.
[[noreturn]] void become(const std::vector<char*>& arguments, const Streams& streams, int in, int out,
                         int err) {
  if (streams.input == Streams::Input::closed) {
    ::close(STDIN_FILENO);
  } else {
    ::dup2(in, STDIN_FILENO);
  }
  if (streams.close_output) {
    ::close(STDOUT_FILENO);
  } else {
    ::dup2(out, STDOUT_FILENO);
  }
  ::dup2(err, STDERR_FILENO);
  std::signal(SIGPIPE, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  if (!streams.folder.empty() && ::chdir(streams.folder.c_str()) != 0) ::_exit(126);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments, const Streams& streams) : start_(Clock::now()) {
  std::signal(SIGPIPE, SIG_IGN);  // a child that ends early must not end the test
  std::vector<std::string> owned = {INGOT_BINARY};
  owned.insert(owned.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  pointers.reserve(owned.size() + 1);
  for (std::string& argument : owned) pointers.push_back(argument.data());
  pointers.push_back(nullptr);

  std::array<int, 2> in{-1, -1};
  if (streams.input == Streams::Input::pipe) {
    in = make_pipe();
  } else {
    in[0] = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
  std::array<int, 2> out{-1, -1};
  if (streams.output_file.empty()) {
    out = make_pipe();
  } else {
    out[1] = ::open(streams.output_file.c_str(), O_WRONLY | O_CLOEXEC);
    if (out[1] < 0) throw std::runtime_error(streams.output_file + ": " + std::strerror(errno));
  }
  std::array<int, 2> err = make_pipe();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error(std::strerror(errno));
  if (pid_ == 0) become(pointers, streams, in[0], out[1], err[1]);
  close_fd(in[0]);
  close_fd(out[1]);
  close_fd(err[1]);
  in_ = in[1];
  out_ = out[0];
  err_ = err[0];
}

Process::~Process() {
  close_fd(in_);
  close_fd(out_);
  close_fd(err_);
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

void Process::write(std::string_view text) {
  while (!text.empty() && in_ >= 0) {
    pollfd ready{.fd = in_, .events = POLLOUT, .revents = 0};
    ::poll(&ready, 1, 10);
    if ((ready.revents & (POLLERR | POLLHUP)) != 0) return close_input();
    if ((ready.revents & POLLOUT) != 0) {
      // As much as a pipe takes at once: more would block while the child waits for its own output to be
      // read.
      const ssize_t written = ::write(in_, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
      if (written < 0) return close_input();
      text.remove_prefix(static_cast<size_t>(written));
    }
    pump(0);
  }
}

void Process::close_input() {
  close_fd(in_);
}
void Process::close_output() {
  close_fd(out_);
}
void Process::interrupt(int signal) const {
  ::kill(pid_, signal);
}

void Process::pump(int timeout_ms) {
  std::array<pollfd, 2> ends{pollfd{.fd = out_, .events = POLLIN, .revents = 0},
                             pollfd{.fd = err_, .events = POLLIN, .revents = 0}};
  if (::poll(ends.data(), ends.size(), timeout_ms) <= 0) return;
  const auto take = [](const pollfd& end, int& fd, std::string& text) {
    if (fd < 0 || end.revents == 0) return;
    std::array<char, 65536> buffer{};
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count > 0) {
      text.append(buffer.data(), static_cast<size_t>(count));
    } else {
      close_fd(fd);
    }
  };
  take(ends[0], out_, result_.out);
  take(ends[1], err_, result_.err);
}

bool Process::wait_for(const std::string& stream, std::string_view text, double seconds) {
  const Clock::time_point start = Clock::now();
  while (stream.find(text) == std::string::npos) {
    if (!is_open() || since(start) > seconds) return false;
    pump(20);
  }
  return true;
}

bool Process::wait_for_output(std::string_view text, double seconds) {
  return wait_for(result_.out, text, seconds);
}
bool Process::wait_for_error(std::string_view text, double seconds) {
  return wait_for(result_.err, text, seconds);
}

Result Process::finish(double seconds) {
  close_input();
  const Clock::time_point start = Clock::now();
  int status = 0;
  rusage usage{};
  while (true) {
    if (is_open()) pump(20);
    if (!is_open() && ::wait4(pid_, &status, WNOHANG, &usage) == pid_) break;
    if (!is_open()) ::usleep(1000);
    if (since(start) > seconds && !result_.timed_out) {
      result_.timed_out = true;
      ::kill(pid_, SIGKILL);
    }
  }
  pid_ = -1;
  result_.seconds = since(start_);
  result_.peak_bytes = static_cast<int64_t>(usage.ru_maxrss) * 1024;
  if (WIFEXITED(status)) result_.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result_.signal = WTERMSIG(status);
  return std::move(result_);
}

Result ingot(const std::vector<std::string>& arguments, const std::optional<std::string>& input) {
  Streams streams;
  if (input) streams.input = Streams::Input::pipe;
  Process process(arguments, streams);
  if (input) process.write(*input);
  return process.finish();
}

}  // namespace ingot::cli_test
