// Questions that need no worker: the tokens of a text, the text of tokens, the price of a request.
#pragma once

#include "common/config.h"
#include "gateway/cluster_view.h"
#include "gateway/host_budget.h"
#include "gateway/openai/endpoints.h"
#include "gateway/served_model.h"

namespace headroom::gateway::openai {

// Must outlive the call.
struct QuestionParts {
  const GatewaySection& config;
  const ServedModels& models;
  const ClusterView& cluster;
  HostBudget& host_budget;
  UnknownFields unknown_fields;
};

// The answer to a body of kTokenize, kDetokenize or kPrice, as it came: heavy work. Errors are those of the endpoint.
absl::StatusOr<Json> AnswerQuestion(const QuestionParts& parts, const Endpoint& endpoint, const std::string& text);

}  // namespace headroom::gateway::openai
