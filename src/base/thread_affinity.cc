#include "base/thread_affinity.h"

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#endif

#include <algorithm>

#include "base/check.h"

namespace ingot {

#ifdef __linux__
namespace {

constexpr size_t kBitsPerSet = 8 * sizeof(cpu_set_t);

class CpuMask {
 public:
  explicit CpuMask(size_t bits) : sets_((bits + kBitsPerSet - 1) / kBitsPerSet) {}
  explicit CpuMask(const std::vector<int>& cpus)
      : CpuMask(static_cast<size_t>(*std::max_element(cpus.begin(), cpus.end())) + 1) {
    for (const int cpu : cpus) CPU_SET_S(static_cast<size_t>(cpu), bytes(), data());
  }
  size_t bytes() const { return sets_.size() * sizeof(cpu_set_t); }
  cpu_set_t* data() { return sets_.data(); }
  std::vector<int> cpus() {
    std::vector<int> found;
    for (size_t cpu = 0; cpu < 8 * bytes(); ++cpu) {
      if (CPU_ISSET_S(cpu, bytes(), data())) found.push_back(static_cast<int>(cpu));
    }
    return found;
  }

 private:
  std::vector<cpu_set_t> sets_;
};

/// Of the thread with this number, 0: the calling one.
std::optional<std::vector<int>> cpus_of(pid_t thread) {
  // The kernel refuses a mask smaller than its own, whose size depends on how it was built.
  for (size_t bits = kBitsPerSet; bits <= (size_t{1} << 20); bits *= 2) {
    CpuMask mask(bits);
    if (sched_getaffinity(thread, mask.bytes(), mask.data()) == 0) {
      std::vector<int> cpus = mask.cpus();
      if (cpus.empty()) return std::nullopt;
      return cpus;
    }
    if (errno != EINVAL) break;
  }
  return std::nullopt;
}

[[noreturn]] void refuse(int cpu, int error) {
  fail(ErrorCode::invalid_argument, "pin: expected a CPU that a thread may run on, found {}: {}", cpu,
       std::strerror(error));
}

}  // namespace

std::optional<std::vector<int>> allowed_cpus() {
  return cpus_of(0);
}

bool can_pin() {
  return cpus_of(0).has_value();
}

void pin(std::thread& thread, int cpu) {
  CpuMask mask(std::vector<int>{cpu});
  const int error = pthread_setaffinity_np(thread.native_handle(), mask.bytes(), mask.data());
  if (error != 0) refuse(cpu, error);
}

void AffinityGuard::pin(int cpu) {
  INGOT_CHECK(cpu_ < 0, "a guard pins one thread");
  before_ = cpus_of(0).value_or(std::vector<int>{});
  CpuMask mask(std::vector<int>{cpu});
  if (before_.empty() || sched_setaffinity(0, mask.bytes(), mask.data()) != 0) refuse(cpu, errno);
  cpu_ = cpu;
  thread_ = gettid();
}

AffinityGuard::~AffinityGuard() {
  // A thread that has ended, or that someone has moved since, is left alone.
  if (cpu_ < 0 || cpus_of(thread_) != std::vector<int>{cpu_}) return;
  CpuMask mask(before_);
  sched_setaffinity(thread_, mask.bytes(), mask.data());
}

#else

std::optional<std::vector<int>> allowed_cpus() {
  return std::nullopt;
}

bool can_pin() {
  return false;
}

void pin(std::thread& /*thread*/, int /*cpu*/) {
  fail(ErrorCode::invalid_argument, "pin: this system cannot say where a thread runs");
}

void AffinityGuard::pin(int /*cpu*/) {
  fail(ErrorCode::invalid_argument, "pin: this system cannot say where a thread runs");
}

AffinityGuard::~AffinityGuard() = default;

#endif

}  // namespace ingot
