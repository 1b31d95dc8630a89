#include "base/cpu_topology.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <set>
#include <string_view>
#include <thread>

#include "base/cpu_count.h"

namespace ingot {
namespace {

// Above any that Linux can be built for.
constexpr int kMostCpus = 1 << 16;

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.pop_back();
  return line;
}

std::optional<int> read_number(std::string_view text) {
  int number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The CPUs of "0-3,8,10-11" (the kernel's list format); nothing where the file is missing, empty or no list.
std::vector<int> read_list(const std::string& path) {
  const auto line = first_line(path);
  if (!line) return {};
  std::vector<int> cpus;
  for (size_t begin = 0; begin <= line->size();) {
    const size_t comma = std::min(line->find(',', begin), line->size());
    const std::string_view part = std::string_view(*line).substr(begin, comma - begin);
    const size_t dash = part.find('-');
    const auto first = read_number(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : read_number(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last >= kMostCpus) return {};
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
    begin = comma + 1;
  }
  return cpus;
}

/// The lowest CPU of the core that `cpu` is a hyper-thread of.
int read_core(const std::string& folder, int cpu) {
  for (const char* name : {"/topology/core_cpus_list", "/topology/thread_siblings_list"}) {
    const std::vector<int> threads = read_list(folder + name);
    if (std::find(threads.begin(), threads.end(), cpu) != threads.end())
      return *std::min_element(threads.begin(), threads.end());
  }
  return cpu;
}

/// Speeds of the CPUs by one kind of file; all 0 unless every CPU has one.
std::vector<double> read_speeds(const std::string& folder, const std::vector<Cpu>& cpus, const char* name) {
  std::vector<double> speeds;
  for (const Cpu& cpu : cpus) {
    const auto line = first_line(folder + "/cpu" + std::to_string(cpu.number) + name);
    const auto speed = line ? read_number(*line) : std::nullopt;
    if (!speed || *speed <= 0) return std::vector<double>(cpus.size(), 0);
    speeds.push_back(*speed);
  }
  return speeds;
}

/// Efficiency cores are below the widest step between two speeds, where it is a step and not the few percent
/// by which a machine's good cores differ.
double efficiency_limit(std::vector<double> speeds) {
  constexpr double kStep = 1.6;
  std::sort(speeds.begin(), speeds.end());
  double widest = kStep;
  double limit = 0;
  for (size_t i = 1; i < speeds.size(); ++i) {
    const double step = speeds[i - 1] > 0 ? speeds[i] / speeds[i - 1] : 0;
    if (step < widest) continue;
    widest = step;
    limit = speeds[i];
  }
  return limit;
}

void find_speeds(const std::string& folder, std::vector<Cpu>& cpus) {
  // The first that tells CPUs apart. cpu_capacity (Arm) is what the kernel places work by. The others are
  // hints: the highest performance level and the highest frequency say nothing of work a cycle.
  for (const char* name : {"/cpu_capacity", "/acpi_cppc/highest_perf", "/cpufreq/cpuinfo_max_freq"}) {
    const std::vector<double> speeds = read_speeds(folder, cpus, name);
    if (std::adjacent_find(speeds.begin(), speeds.end(), std::not_equal_to<>()) == speeds.end()) continue;
    for (size_t i = 0; i < cpus.size(); ++i) cpus[i].speed = speeds[i];
    break;
  }
}

void find_efficiency_cores(const std::string& devices, std::vector<Cpu>& cpus) {
  // Intel's hybrid processors name the kinds.
  const std::vector<int> cores = read_list(devices + "/cpu_core/cpus");
  const std::vector<int> atoms = read_list(devices + "/cpu_atom/cpus");
  if (!cores.empty() && !atoms.empty()) {
    const std::set<int> slow(atoms.begin(), atoms.end());
    for (Cpu& cpu : cpus) cpu.is_efficiency = slow.contains(cpu.number);
    return;
  }
  std::vector<double> speeds;
  for (const Cpu& cpu : cpus) speeds.push_back(cpu.speed);
  const double limit = efficiency_limit(std::move(speeds));
  for (Cpu& cpu : cpus) cpu.is_efficiency = cpu.speed < limit;
}

void sort_best_first(std::vector<Cpu>& cpus) {
  std::sort(cpus.begin(), cpus.end(), [](const Cpu& a, const Cpu& b) { return a.number < b.number; });
  std::set<int> cores;
  std::set<int> further;  // hyper-threads of a core that has one before
  for (const Cpu& cpu : cpus) {
    if (!cores.insert(cpu.core).second) further.insert(cpu.number);
  }
  const auto rank = [&](const Cpu& cpu) {
    return further.contains(cpu.number) ? 2 : cpu.is_efficiency ? 1 : 0;
  };
  std::stable_sort(cpus.begin(), cpus.end(), [&](const Cpu& a, const Cpu& b) {
    return rank(a) != rank(b) ? rank(a) < rank(b) : a.speed > b.speed;
  });
}

}  // namespace

int CpuTopology::room() const {
  const auto all = std::max(1, static_cast<int>(cpus.size()));
  if (!group_limit || *group_limit >= all) return all;
  return std::max(1, static_cast<int>(std::ceil(*group_limit)));
}

int CpuTopology::performance_cores() const {
  std::set<int> cores;
  for (const Cpu& cpu : cpus) {
    if (!cpu.is_efficiency) cores.insert(cpu.core);
  }
  return static_cast<int>(cores.size());
}

CpuTopology read_cpu_topology(const std::string& root, const std::optional<std::vector<int>>& allowed) {
  CpuTopology topology{.cpus = {}, .group_limit = cgroup_cpu_limit(root)};
  const std::string devices = root + "/sys/devices";
  const std::string folder = devices + "/system/cpu";
  std::vector<int> numbers;
  if (allowed) {
    numbers = *allowed;
  } else {
    for (int cpu = 0; cpu < static_cast<int>(std::thread::hardware_concurrency()); ++cpu)
      numbers.push_back(cpu);
  }
  for (const int number : numbers) {
    topology.cpus.push_back(
        {.number = number, .core = read_core(folder + "/cpu" + std::to_string(number), number)});
  }
  find_speeds(folder, topology.cpus);
  find_efficiency_cores(devices, topology.cpus);
  sort_best_first(topology.cpus);
  return topology;
}

}  // namespace ingot
