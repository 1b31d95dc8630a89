#include "base/cpu_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/cpu_count.h"
#include "temporary_root.h"

namespace ingot {
namespace {

class CpuTopologyFiles : public TemporaryRoot {
 protected:
  void write_cpu(int cpu, const std::string& name, const std::string& text) {
    write("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/" + name, text + "\n");
  }
  CpuTopology read(int cpus) const {
    std::vector<int> allowed;
    for (int cpu = 0; cpu < cpus; ++cpu) allowed.push_back(cpu);
    return read_cpu_topology(root_, allowed);
  }
  /// A made-up Intel hybrid: two performance cores of two hyper-threads, 0-3, and four efficiency cores, 4-7.
  void write_hybrid() {
    for (int cpu = 0; cpu < 4; ++cpu) write_cpu(cpu, "topology/core_cpus_list", cpu < 2 ? "0-1" : "2-3");
    for (int cpu = 4; cpu < 8; ++cpu) write_cpu(cpu, "topology/core_cpus_list", std::to_string(cpu));
    write("/sys/devices/cpu_core/cpus", "0-3\n");
    write("/sys/devices/cpu_atom/cpus", "4-7\n");
  }
  void write_all(const char* name, const std::vector<int>& values) {
    for (size_t cpu = 0; cpu < values.size(); ++cpu)
      write_cpu(static_cast<int>(cpu), name, std::to_string(values[cpu]));
  }
};

std::vector<int> numbers(const CpuTopology& topology) {
  std::vector<int> numbers;
  for (const Cpu& cpu : topology.cpus) numbers.push_back(cpu.number);
  return numbers;
}

std::vector<int> efficiency_cpus(const CpuTopology& topology) {
  std::vector<int> numbers;
  for (const Cpu& cpu : topology.cpus) {
    if (cpu.is_efficiency) numbers.push_back(cpu.number);
  }
  return numbers;
}

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(CpuTopologyFiles, WithoutFilesEveryCpuIsAPerformanceCoreOfItsOwn) {
  const CpuTopology topology = read(3);
  EXPECT_THAT(numbers(topology), ElementsAre(0, 1, 2));
  EXPECT_EQ(topology.performance_cores(), 3);
  EXPECT_EQ(topology.room(), 3);
}

TEST_F(CpuTopologyFiles, IntelHybridOrdersCoresThenEfficiencyCoresThenHyperThreads) {
  write_hybrid();
  const CpuTopology topology = read(8);
  EXPECT_THAT(numbers(topology), ElementsAre(0, 2, 4, 5, 6, 7, 1, 3));
  EXPECT_THAT(efficiency_cpus(topology), ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(topology.performance_cores(), 2);
  EXPECT_EQ(topology.room(), 8);
}

TEST_F(CpuTopologyFiles, HyperThreadsOfAnAmdProcessorShareCores) {
  // Numbered as AMD and Intel servers do: second hyper-threads after all cores; the older file's name.
  for (int cpu = 0; cpu < 8; ++cpu) {
    write_cpu(cpu, "topology/thread_siblings_list",
              std::to_string(cpu % 4) + "," + std::to_string(cpu % 4 + 4));
  }
  const CpuTopology topology = read(8);
  EXPECT_THAT(numbers(topology), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(topology.performance_cores(), 4);
  EXPECT_EQ(topology.cpus[5].core, 1);
  EXPECT_THAT(efficiency_cpus(topology), IsEmpty());
}

TEST_F(CpuTopologyFiles, AffinityToSecondHyperThreadsOnlyStillCountsTheirCores) {
  for (int cpu = 0; cpu < 4; ++cpu) write_cpu(cpu, "topology/core_cpus_list", cpu < 2 ? "0-1" : "2-3");
  const CpuTopology topology = read_cpu_topology(root_, std::vector<int>{1, 3});
  EXPECT_THAT(numbers(topology), ElementsAre(1, 3));
  EXPECT_EQ(topology.performance_cores(), 2);
}

TEST_F(CpuTopologyFiles, AffinityToEfficiencyCoresOnlyLeavesThemToUse) {
  write_hybrid();
  const CpuTopology topology = read_cpu_topology(root_, std::vector<int>{5, 6});
  EXPECT_THAT(numbers(topology), ElementsAre(5, 6));
  EXPECT_EQ(topology.performance_cores(), 0);
}

TEST_F(CpuTopologyFiles, CapacityOfBigLittleTellsLittleCoresAndOrdersTheBigOnes) {
  write_all("cpu_capacity", {250, 250, 250, 250, 870, 870, 870, 1024});
  const CpuTopology topology = read(8);
  EXPECT_THAT(numbers(topology), ElementsAre(7, 4, 5, 6, 0, 1, 2, 3));
  EXPECT_EQ(topology.performance_cores(), 4);
  EXPECT_THAT(efficiency_cpus(topology), ElementsAre(0, 1, 2, 3));
}

TEST_F(CpuTopologyFiles, FewPercentOfSpeedMakeNoEfficiencyCore) {
  write_all("acpi_cppc/highest_perf", {166, 231, 211, 196});
  const CpuTopology topology = read(4);
  EXPECT_THAT(numbers(topology), ElementsAre(1, 2, 3, 0));
  EXPECT_EQ(topology.performance_cores(), 4);
}

TEST_F(CpuTopologyFiles, FrequencyTellsEfficiencyCoresOnlyWhereTheStepIsWide) {
  write_all("cpufreq/cpuinfo_max_freq", {5700000, 5700000, 4300000, 4300000});
  EXPECT_EQ(read(4).performance_cores(), 4);
  write_all("cpufreq/cpuinfo_max_freq", {3000000, 3000000, 1500000, 1500000});
  EXPECT_EQ(read(4).performance_cores(), 2);
}

TEST_F(CpuTopologyFiles, CapacityThatIsEqualEverywhereIsNoAnswer) {
  write_all("cpu_capacity", {1024, 1024});
  write_all("cpufreq/cpuinfo_max_freq", {1000000, 3000000});
  EXPECT_THAT(numbers(read(2)), ElementsAre(1, 0));
}

TEST_F(CpuTopologyFiles, SpeedOfSomeCpusOnlyCountsForNone) {
  write_all("cpu_capacity", {1024, 200});
  const CpuTopology topology = read(3);
  EXPECT_EQ(topology.performance_cores(), 3);
  EXPECT_THAT(numbers(topology), ElementsAre(0, 1, 2));
}

TEST_F(CpuTopologyFiles, DamagedFilesAreAsNone) {
  for (const char* text :
       {"", "fast", "0-", "-1", "3-1", "0-99999999", "0,,1", "99999999999999999999", "2"}) {
    for (int cpu = 0; cpu < 2; ++cpu) {
      for (const char* name : {"topology/core_cpus_list", "topology/thread_siblings_list", "cpu_capacity",
                               "acpi_cppc/highest_perf", "cpufreq/cpuinfo_max_freq"}) {
        write_cpu(cpu, name, text);
      }
    }
    write("/sys/devices/cpu_core/cpus", text);
    write("/sys/devices/cpu_atom/cpus", std::string(text) + "x");
    const CpuTopology topology = read(2);
    EXPECT_THAT(numbers(topology), ElementsAre(0, 1)) << text;
    EXPECT_EQ(topology.performance_cores(), 2) << text;
  }
}

TEST_F(CpuTopologyFiles, ControlGroupLimitsTheRoomAndNotTheCpus) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/cpu.max", "250000 100000\n");
  const CpuTopology topology = read(8);
  EXPECT_EQ(topology.cpus.size(), 8U);
  EXPECT_EQ(topology.room(), 3);
}

TEST(CpuTopology, OfThisMachineHasTheCpusOfTheAffinityMask) {
  const CpuTopology topology = read_cpu_topology();
  EXPECT_EQ(static_cast<int>(topology.cpus.size()), affinity_cpus());
  EXPECT_EQ(topology.room(), available_cpus());
  EXPECT_LE(topology.performance_cores(), affinity_cpus());
}

}  // namespace
}  // namespace ingot
