// Answers about the recent past, from the core's history and refusals. An answer is bounded; what is asked outside the
// ranges of headroom/v1/cluster.proto is INVALID_ARGUMENT.
#pragma once

#include "headroom/v1/cluster.pb.h"
#include "scheduler/core_runner.h"

namespace headroom::scheduler {

absl::StatusOr<v1::GetHistoryResponse> AnswerHistory(const CoreRunner& core, const v1::GetHistoryRequest& request);
absl::StatusOr<v1::GetRefusalsResponse> AnswerRefusals(const CoreRunner& core, const v1::GetRefusalsRequest& request);

}  // namespace headroom::scheduler
