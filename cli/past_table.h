// Who held how much at a moment, as a table for people.
#pragma once

#include <string>

#include "cli/moment.h"
#include "headroom/v1/cluster.pb.h"

namespace headroom::cli {

// One part per device: components with planned, reserved and used bytes, then the holders, most device bytes first.
// Workers that share a process share one ledger, which is shown once.
std::string PastTable(const v1::GetHistoryResponse& history, WallTime now);

// The refusal: which budget, where, how much was missing, and what would have made it fit.
std::string RefusalText(const v1::RefusalView& refusal, WallTime now);

}  // namespace headroom::cli
