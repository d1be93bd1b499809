// What an answer is held to, token by token: response_format, or a tool_choice that leaves no way but a call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/status.h"
#include "gateway/served_model.h"
#include "headroom/v1/gateway.pb.h"
#include "headroom/v1/llm.pb.h"

namespace headroom::gateway {

struct Constraint {
  v1::Grammar grammar;   // for the llm-worker
  std::string shortest;  // of the texts that it admits
  std::string field;     // of the request, which asks for it
};

// Nothing where the request asks for nothing. Computes for milliseconds (the gate, model/structured). INVALID_ARGUMENT
// with the field (common/field_error.h), and for a schema with the JSON pointer: what cannot be kept exactly, what no
// text satisfies, what is above a limit, what would end the text before it is whole (stop strings and ids, min_tokens),
// and anything at all where this build cannot constrain.
absl::StatusOr<std::optional<Constraint>> ResolveConstraint(const v1::GenerateRequest& request,
                                                            const ServedModel& model);

// The constraint begins behind the thoughts that the prompt has begun. False where it would not be seen when those end,
// because their mark is no token of the model: then it begins at once, and what comes is no thought.
bool BeginBehindThoughts(const ServedModel& model, Constraint* constraint);

// INVALID_ARGUMENT where max_tokens has no room for the shortest text.
absl::Status CheckRoomForText(const Constraint& constraint, const ServedModel& model, int64_t max_tokens);

// Host memory that ResolveConstraint takes at most, bytes; 0 where the request asks for nothing.
int64_t ConstraintBytes(const v1::GenerateRequest& request);

}  // namespace headroom::gateway
