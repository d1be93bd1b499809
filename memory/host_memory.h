// What the machine can still give this process.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace headroom::memory {

// Where the kernel tells; tests point it elsewhere.
struct HostFiles {
  std::string meminfo = "/proc/meminfo";
  std::string own_groups = "/proc/self/cgroup";
  std::string group_root = "/sys/fs/cgroup";
};

struct HostMemory {
  int64_t total = std::numeric_limits<int64_t>::max();      // of the machine, or the limit of a control group around us
  int64_t available = std::numeric_limits<int64_t>::max();  // see AvailableHostBytes
};

HostMemory ReadHostMemory(const HostFiles& files = {});

// Bytes: the smallest of the kernel's estimate (MemAvailable) and what the memory limits of the process's control group
// and of the groups around it leave (cgroup v2 and v1), where file cache that nobody used lately counts as available.
// INT64_MAX where nothing can be read.
int64_t AvailableHostBytes(const HostFiles& files = {});

}  // namespace headroom::memory
