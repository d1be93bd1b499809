// From what a client asks of sampling to what the llm-worker samples with.
#pragma once

#include "common/status.h"
#include "headroom/v1/gateway.pb.h"
#include "headroom/v1/llm.pb.h"
#include "model/spec.h"

namespace headroom::gateway {

// Absent fields take the model's defaults, an absent seed a random one. INVALID_ARGUMENT with the field, its value and
// its limit.
absl::StatusOr<v1::TokenSampling> ResolveSampling(const v1::Sampling& asked, const model::ModelSpec& model);

// INVALID_ARGUMENT naming `field`, for an id that the model has no logit for.
absl::Status CheckTokenId(const char* field, int32_t id, int64_t vocab_size);

}  // namespace headroom::gateway
