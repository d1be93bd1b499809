#include "memory/host_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

namespace headroom::memory {
namespace {

class HostMemoryTest : public ::testing::Test {
 protected:
  HostMemoryTest() {
    std::string name = (std::filesystem::temp_directory_path() / "headroom-host-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    files_ = {.meminfo = root_ + "/meminfo", .own_groups = root_ + "/groups", .group_root = root_ + "/fs"};
  }
  ~HostMemoryTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = root_ + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }

  std::string root_;
  HostFiles files_;
};

TEST_F(HostMemoryTest, NothingKnown) { EXPECT_EQ(AvailableHostBytes(files_), std::numeric_limits<int64_t>::max()); }

TEST_F(HostMemoryTest, KernelEstimate) {
  Write("meminfo", "MemTotal:       1000 kB\nMemAvailable:    600 kB\n");
  EXPECT_EQ(AvailableHostBytes(files_), 600 * 1024);
}

TEST_F(HostMemoryTest, EveryGroupOnThePathCounts) {
  Write("meminfo", "MemAvailable:    600 kB\n");
  Write("groups", "0::/a/b\n");
  Write("fs/a/memory.max", "100000\n");
  Write("fs/a/memory.current", "60000\n");
  Write("fs/a/memory.stat", "anon 1\ninactive_file 10000\n");
  Write("fs/a/b/memory.max", "max\n");
  Write("fs/a/b/memory.current", "60000\n");
  EXPECT_EQ(AvailableHostBytes(files_), 50000);
  Write("fs/a/b/memory.max", "70000\n");
  EXPECT_EQ(AvailableHostBytes(files_), 10000);
  Write("fs/a/b/memory.max", "50000\n");
  EXPECT_EQ(AvailableHostBytes(files_), 0);
}

TEST_F(HostMemoryTest, TheLowestLimitIsAllThereIs) {
  EXPECT_EQ(ReadHostMemory(files_).total, std::numeric_limits<int64_t>::max());
  Write("meminfo", "MemTotal:       1000 kB\nMemAvailable:    600 kB\n");
  EXPECT_EQ(ReadHostMemory(files_).total, 1000 * 1024);
  Write("groups", "0::/a/b\n");
  Write("fs/a/memory.max", "100000\n");
  Write("fs/a/b/memory.max", "max\n");
  EXPECT_EQ(ReadHostMemory(files_).total, 100000);
  Write("fs/a/memory.max", "9223372036854771712\n");  // "no limit" of version 1
  EXPECT_EQ(ReadHostMemory(files_).total, 1000 * 1024);
}

TEST_F(HostMemoryTest, ContainerWithItsOwnRoot) {
  Write("groups", "0::/../../not/visible\n");
  Write("fs/memory.max", "5000\n");
  Write("fs/memory.current", "1000\n");
  EXPECT_EQ(AvailableHostBytes(files_), 4000);
}

TEST_F(HostMemoryTest, Version1) {
  Write("groups", "5:cpu,memory:/a\n4:cpu:/b\n");
  Write("fs/memory/a/memory.limit_in_bytes", "9000\n");
  Write("fs/memory/a/memory.usage_in_bytes", "2000\n");
  Write("fs/memory/a/memory.stat", "total_inactive_file 500\n");
  EXPECT_EQ(AvailableHostBytes(files_), 7500);
}

}  // namespace
}  // namespace headroom::memory
