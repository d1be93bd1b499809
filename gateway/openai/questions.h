// Questions over HTTP: their bodies to the protocol, the answers back to JSON.
#pragma once

#include "gateway/openai/endpoints.h"
#include "gateway/questions.h"

namespace headroom::gateway::openai {

// Must outlive the call.
struct QuestionParts {
  const ServedModels& models;
  HostBudget& host_budget;
  const Questions& questions;
  UnknownFields unknown_fields;
};

// The answer to a body of kTokenize, kDetokenize or kPrice, as it came: heavy work. Errors are those of the endpoint.
absl::StatusOr<Json> AnswerQuestion(const QuestionParts& parts, const Endpoint& endpoint, const std::string& text);

}  // namespace headroom::gateway::openai
