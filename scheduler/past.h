// Answers about the recent past, from the core's history and refusals. Whatever is asked, an answer is bounded.
#pragma once

#include "headroom/v1/cluster.pb.h"
#include "scheduler/core_runner.h"

namespace headroom::scheduler {

v1::GetHistoryResponse AnswerHistory(const CoreRunner& core, const v1::GetHistoryRequest& request);
v1::GetRefusalsResponse AnswerRefusals(const CoreRunner& core, const v1::GetRefusalsRequest& request);

}  // namespace headroom::scheduler
