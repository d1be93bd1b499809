#include "gateway/openai/endpoints.h"

#include "gateway/openai/chat_answer.h"
#include "gateway/openai/chat_request.h"
#include "gateway/openai/completions.h"
#include "gateway/openai/responses_answer.h"
#include "gateway/openai/responses_request.h"

namespace headroom::gateway::openai {
namespace {

absl::StatusOr<Reading> ReadChat(Json& body, const std::string& request_id, v1::GenerateRequest* request) {
  AnswerOptions options;
  HEADROOM_RETURN_IF_ERROR(ReadChatRequest(body, request_id, request, &options));
  return Reading{options.stream, std::make_unique<ChatAnswer>(options)};
}

absl::StatusOr<Reading> ReadCompletions(Json& body, const std::string& request_id, v1::GenerateRequest* request) {
  AnswerOptions options;
  HEADROOM_RETURN_IF_ERROR(ReadCompletionsRequest(body, request_id, request, &options));
  return Reading{options.stream, std::make_unique<CompletionsAnswer>(options)};
}

absl::StatusOr<Reading> ReadResponses(Json& body, const std::string& request_id, v1::GenerateRequest* request) {
  ResponsesOptions options;
  HEADROOM_RETURN_IF_ERROR(ReadResponsesRequest(body, request_id, request, &options));
  return Reading{options.stream, std::make_unique<ResponsesAnswer>(std::move(options.echo))};
}

}  // namespace

const std::vector<Endpoint>& Endpoints() {
  static const std::vector<Endpoint> endpoints = {
      {"POST", "/v1/chat/completions", "An answer to a conversation.", Action::kGenerate, ChatShape, ReadChat},
      {"POST", "/v1/responses", "An answer to a conversation, as items.", Action::kGenerate, ResponsesShape,
       ReadResponses},
      {"POST", "/v1/completions", "What follows a text.", Action::kGenerate, CompletionsShape, ReadCompletions},
      {"POST", "/v1/embeddings", "The rows that the vision tower makes of pictures.", Action::kEmbed, EmbeddingsShape},
      {"POST", "/tokenize", "The tokens of a text, or of a conversation as its template shows it.", Action::kTokenize,
       TokenizeShape},
      {"POST", "/detokenize", "The text of tokens.", Action::kDetokenize, DetokenizeShape},
      {"POST", "/v1/headroom/price", "What a chat completion would need, without any work on it.", Action::kPrice,
       ChatShape},
      {"GET", "/v1/models", "The models that are served.", Action::kListModels},
      {"GET", "/v1/models/{model}", "One of them.", Action::kGetModel},
      {"GET", "/openapi.json", "This API as OpenAPI 3.1.", Action::kOpenApi},
  };
  return endpoints;
}

const Endpoint* FindEndpoint(const std::string& method, const std::string& path) {
  for (const Endpoint& endpoint : Endpoints()) {
    if (method == endpoint.method && path == endpoint.path) return &endpoint;
  }
  return nullptr;
}

}  // namespace headroom::gateway::openai
