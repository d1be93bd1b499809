#include "runtime/cpu/processors.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <sstream>

namespace headroom::runtime::cpu {
namespace {

int ProcessorsOfAffinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<int>(online) : 1;
}

}  // namespace

int ProcessorsOfQuota(const std::string& cpu_max) {
  std::istringstream line(cpu_max);
  int64_t quota = 0;
  int64_t period = 0;
  if (!(line >> quota >> period) || quota <= 0 || period <= 0) return 0;
  const int64_t processors = quota / period + (quota % period != 0 ? 1 : 0);
  return static_cast<int>(std::min<int64_t>(processors, std::numeric_limits<int>::max()));
}

int ProcessorsOfProcess() {
  const int allowed = ProcessorsOfAffinity();
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string line;
  if (!std::getline(file, line)) return allowed;
  const int quota = ProcessorsOfQuota(line);
  return quota > 0 ? std::min(quota, allowed) : allowed;
}

}  // namespace headroom::runtime::cpu
