#include "base/cpu_count.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <string>
#include <thread>

#include "temporary_root.h"

namespace ingot {
namespace {

using CpuCount = TemporaryRoot;

TEST_F(CpuCount, NoControlGroupMeansNoLimit) {
  EXPECT_EQ(cgroup_cpu_limit(root_), std::nullopt);
  EXPECT_EQ(available_cpus(root_), affinity_cpus());
}

TEST_F(CpuCount, VersionTwoLimitOfAContainer) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), 1.5);
}

TEST_F(CpuCount, VersionTwoMaxIsNoLimit) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), std::nullopt);
}

TEST_F(CpuCount, VersionTwoTakesTheTightestOfGroupAndParents) {
  write("/proc/self/cgroup", "0::/user.slice/job/inner\n");
  write("/sys/fs/cgroup/user.slice/cpu.max", "400000 100000\n");
  write("/sys/fs/cgroup/user.slice/job/cpu.max", "200000 100000\n");
  write("/sys/fs/cgroup/user.slice/job/inner/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), 2.0);
}

TEST_F(CpuCount, VersionOneLimit) {
  write("/proc/self/cgroup", "5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n");
  write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), 0.5);
  EXPECT_EQ(available_cpus(root_), 1);
}

TEST_F(CpuCount, VersionOneQuotaOfMinusOneIsNoLimit) {
  write("/proc/self/cgroup", "4:cpuacct,cpu:/\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), std::nullopt);
}

TEST_F(CpuCount, VersionOnePathOfTheHostFallsBackToTheContainersMount) {
  write("/proc/self/cgroup", "4:cpu:/docker/0123abcd\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), 3.0);
}

TEST_F(CpuCount, OtherControllersAreNotTakenForTheCpuController) {
  write("/proc/self/cgroup", "4:cpuset:/\n3:cpuacct:/\n");
  write("/sys/fs/cgroup/cpuset/cpu.cfs_quota_us", "100000\n");
  write("/sys/fs/cgroup/cpuset/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), std::nullopt);
}

TEST_F(CpuCount, DamagedFilesAreNoLimit) {
  write("/proc/self/cgroup", "nonsense\n::\n0::/\n");
  for (const char* text : {"", "fast\n", "0 0\n", "100000\n", "-5 100000\n"}) {
    write("/sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(cgroup_cpu_limit(root_), std::nullopt) << text;
  }
}

TEST_F(CpuCount, LimitAboveTheAffinityMaskChangesNothing) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/cpu.max", "100000000 100000\n");
  EXPECT_EQ(available_cpus(root_), affinity_cpus());
}

TEST_F(CpuCount, AffinityMaskOfOneCpuCountsOne) {
  int cpus = 0;
  std::thread([&] {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(sched_getcpu(), &mask);
    if (sched_setaffinity(0, sizeof(mask), &mask) == 0) cpus = affinity_cpus();
  }).join();
  EXPECT_EQ(cpus, 1);
}

}  // namespace
}  // namespace ingot
