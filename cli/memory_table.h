// Where the memory of a cluster's devices went, as a table for people.
#pragma once

#include <string>

#include "headroom/v1/cluster.pb.h"

namespace headroom::cli {

// One table per device: components with planned, reserved, used and high-water bytes. Workers that share a process
// share one ledger, which is shown once.
std::string MemoryTables(const v1::ClusterState& cluster);

}  // namespace headroom::cli
