#include "base/machine_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace ingot {
namespace {

namespace fs = std::filesystem;

// A folder that stands in for "/", removed at the end of the test.
class MachineMemoryTest : public testing::Test {
 protected:
  MachineMemoryTest() {
    std::string pattern = (fs::temp_directory_path() / "ingot-memory-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    write("/proc/meminfo", "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:   600 kB\n");
  }
  ~MachineMemoryTest() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void expect(int64_t total, int64_t available) const {
    const MachineMemory memory = machine_memory(root_);
    EXPECT_EQ(memory.total_bytes, total);
    EXPECT_EQ(memory.available_bytes, available);
  }

  std::string root_;
};

TEST_F(MachineMemoryTest, WithoutControlGroupsIsWhatTheMachineHas) {
  expect(1024000, 614400);
}

TEST_F(MachineMemoryTest, VersionTwoLimitCountsUsageThatCannotBeDropped) {
  write("/proc/self/cgroup", "0::/job\n");
  write("/sys/fs/cgroup/job/memory.max", "500000\n");
  write("/sys/fs/cgroup/job/memory.current", "300000\n");
  write("/sys/fs/cgroup/job/memory.stat", "anon 100000\ninactive_file 200000\nactive_file 5\n");
  expect(500000, 400000);
}

TEST_F(MachineMemoryTest, VersionTwoMaxIsNoLimit) {
  write("/proc/self/cgroup", "0::/job\n");
  write("/sys/fs/cgroup/job/memory.max", "max\n");
  write("/sys/fs/cgroup/job/memory.current", "300000\n");
  expect(1024000, 614400);
}

TEST_F(MachineMemoryTest, VersionOneLimit) {
  write("/proc/self/cgroup", "4:memory:/job\n3:cpu,cpuacct:/job\n");
  write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "400000\n");
  write("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "350000\n");
  write("/sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 50000\n");
  expect(400000, 100000);
}

TEST_F(MachineMemoryTest, TheTightestOfGroupAndParentsCounts) {
  write("/proc/self/cgroup", "0::/user.slice/job\n");
  write("/sys/fs/cgroup/user.slice/memory.max", "300000\n");
  write("/sys/fs/cgroup/user.slice/memory.current", "290000\n");
  write("/sys/fs/cgroup/user.slice/job/memory.max", "900000\n");
  write("/sys/fs/cgroup/user.slice/job/memory.current", "100000\n");
  expect(300000, 10000);
}

TEST_F(MachineMemoryTest, VersionOneWithoutALimitSaysAnEnormousNumber) {
  write("/proc/self/cgroup", "4:memory:/\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "350000\n");
  expect(1024000, 614400);
}

TEST_F(MachineMemoryTest, AGroupThatIsOverItsLimitHasNothingLeft) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/memory.max", "1000\n");
  write("/sys/fs/cgroup/memory.current", "2000\n");
  expect(1000, 0);
}

TEST_F(MachineMemoryTest, OfThisMachineIsPlausible) {
  const MachineMemory memory = machine_memory();
  EXPECT_GT(memory.total_bytes, int64_t{64} << 20);
  EXPECT_LE(memory.available_bytes, memory.total_bytes);
  EXPECT_GT(memory.available_bytes, 0);
}

}  // namespace
}  // namespace ingot
