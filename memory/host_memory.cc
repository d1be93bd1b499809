#include "memory/host_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace headroom::memory {
namespace {

// Names of a group's files in one version of the interface.
struct GroupInterface {
  const char* subdirectory;
  const char* limit;
  const char* usage;
  const char* reclaimable;  // key in memory.stat: pages that the kernel drops by itself when memory is wanted
};
constexpr GroupInterface kVersion2 = {"", "memory.max", "memory.current", "inactive_file"};
constexpr GroupInterface kVersion1 = {"/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                      "total_inactive_file"};

// The number behind `key` in a file of "key value" lines.
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

void LimitByGroup(const std::string& directory, const GroupInterface& interface, HostMemory& memory) {
  const std::optional<int64_t> limit = ReadNumber(directory + "/" + interface.limit);
  if (!limit) return;
  memory.total = std::min(memory.total, *limit);
  const std::optional<int64_t> used = ReadNumber(directory + "/" + interface.usage);
  if (!used) return;
  const int64_t reclaimable = FindValue(directory + "/memory.stat", interface.reclaimable).value_or(0);
  memory.available =
      std::min(memory.available, std::max<int64_t>(0, *limit - std::max<int64_t>(0, *used - reclaimable)));
}

// The group and all groups around it: each limit counts.
void LimitAlongPath(const std::string& root, std::string group, const GroupInterface& interface, HostMemory& memory) {
  LimitByGroup(root + interface.subdirectory, interface, memory);
  while (!group.empty() && group != "/") {
    LimitByGroup(root + interface.subdirectory + group, interface, memory);
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

}  // namespace

HostMemory ReadHostMemory(const HostFiles& files) {
  HostMemory memory;
  if (const auto kilobytes = FindValue(files.meminfo, "MemTotal:")) memory.total = *kilobytes * 1024;
  if (const auto kilobytes = FindValue(files.meminfo, "MemAvailable:")) memory.available = *kilobytes * 1024;
  // Lines are "id:controllers:path"; version 2 has no controllers. Inside a container the path may not exist: then the
  // root's files are the container's own.
  std::ifstream groups(files.own_groups);
  std::string line, version1_path, version2_path;
  while (std::getline(groups, line)) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controllers == ",,") version2_path = line.substr(second + 1);
    if (controllers.find(",memory,") != std::string::npos) version1_path = line.substr(second + 1);
  }
  LimitAlongPath(files.group_root, version2_path, kVersion2, memory);
  LimitAlongPath(files.group_root, version1_path, kVersion1, memory);
  return memory;
}

int64_t AvailableHostBytes(const HostFiles& files) { return ReadHostMemory(files).available; }

}  // namespace headroom::memory
