#include "memory/host_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

namespace headroom::memory {
namespace {

// The number behind `key` in a file of "key value" lines ("key: value kB" as in /proc/meminfo as well).
std::optional<int64_t> FindValue(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name;
    int64_t value = 0;
    if (words >> name >> value && name == key) return value;
  }
  return std::nullopt;
}

// "max" (no limit) gives nothing, as does a file that is not there.
std::optional<int64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

std::optional<int64_t> LeftInGroup(const std::string& limit, const std::string& usage, const std::string& stat,
                                   const std::string& cache) {
  const std::optional<int64_t> limit_bytes = ReadNumber(limit), used = ReadNumber(usage);
  if (!limit_bytes || !used) return std::nullopt;
  // Pages that the kernel drops by itself when memory is wanted.
  const int64_t reclaimable = FindValue(stat, cache).value_or(0);
  return std::max<int64_t>(0, *limit_bytes - std::max<int64_t>(0, *used - reclaimable));
}

}  // namespace

int64_t AvailableHostBytes() {
  int64_t available = std::numeric_limits<int64_t>::max();
  if (const auto kilobytes = FindValue("/proc/meminfo", "MemAvailable:")) available = *kilobytes * 1024;
  const std::string root = "/sys/fs/cgroup/";
  if (const auto left =
          LeftInGroup(root + "memory.max", root + "memory.current", root + "memory.stat", "inactive_file")) {
    available = std::min(available, *left);
  }
  const std::string v1 = root + "memory/memory.";
  if (const auto left = LeftInGroup(v1 + "limit_in_bytes", v1 + "usage_in_bytes", v1 + "stat", "total_inactive_file")) {
    available = std::min(available, *left);
  }
  return available;
}

}  // namespace headroom::memory
