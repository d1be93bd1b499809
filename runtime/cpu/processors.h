// How many threads a compute team should have here.
#pragma once

#include <string>

namespace headroom::runtime::cpu {

// Processors that this process may run on: its affinity mask, and the CPU quota of its control group (a container's
// limit; more threads than that would only be throttled). At least 1.
int ProcessorsOfProcess();

// Whole processors in a cgroup v2 cpu.max line, "QUOTA PERIOD" in microseconds or "max PERIOD"; rounded up. 0: no
// limit.
int ProcessorsOfQuota(const std::string& cpu_max);

}  // namespace headroom::runtime::cpu
