// The message of Generate: what can be said against it before any work, and the request that it is to the engine.
#pragma once

#include "admission/resources.h"
#include "common/status.h"
#include "headroom/v1/llm.pb.h"
#include "llm-worker/sequence.h"
#include "llm-worker/service.h"

namespace headroom::llm_worker {

// What the message says that is not the sequence's own business (CheckSequenceRequest). INVALID_ARGUMENT with value and
// limit; FAILED_PRECONDITION for another model; UNIMPLEMENTED for a constraint where the build has no grammar library.
// Reads no schema.
absl::Status CheckMessage(const v1::LlmGenerateRequest& request, const LlmService::Options& options);

// The leg pays for what the request will hold: blocks for every token, host memory for every row of its pieces.
absl::Status CheckPrice(const v1::LlmGenerateRequest& request, const admission::Resources& leg,
                        const LlmService::Options& options);

// Without the data of its runs and without its constraint.
SequenceRequest ToSequence(const v1::LlmGenerateRequest& request, const ModelLimits& limits);

}  // namespace headroom::llm_worker
