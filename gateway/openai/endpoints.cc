#include "gateway/openai/endpoints.h"

#include <string_view>

#include "absl/strings/cord.h"
#include "common/field_error.h"
#include "gateway/openai/chat_answer.h"
#include "gateway/openai/chat_request.h"
#include "gateway/openai/completions.h"
#include "gateway/openai/errors.h"
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

// A field of the protocol, or the beginning of its path, and what it is in chat completions and in responses.
struct FieldName {
  const char* protocol;
  const char* chat;
  const char* responses;
};

// The first that fits.
constexpr FieldName kFieldNames[] = {
    {"template_arguments_json.reasoning_effort", "reasoning_effort", "reasoning.effort"},
    {"template_arguments_json", "chat_template_kwargs", "reasoning"},
    {"response_format.json_schema", "response_format.json_schema.schema", "text.format.schema"},
    {"response_format", "response_format", "text.format"},
    {"max_tokens", "max_tokens", "max_output_tokens"},
};

std::string NameIn(const Endpoint& endpoint, const std::string& field) {
  const bool responses = endpoint.shape == ResponsesShape;
  if (field.starts_with("tools[")) {
    const size_t member = field.find('.');
    const std::string name = field.substr(member + 1) == "parameters_json" ? "parameters" : field.substr(member + 1);
    return absl::StrCat(field.substr(0, member), responses ? "." : ".function.", name);
  }
  for (const FieldName& name : kFieldNames) {
    if (!field.starts_with(name.protocol)) continue;
    return (responses ? name.responses : name.chat) + field.substr(std::string_view(name.protocol).size());
  }
  return field;
}

}  // namespace

absl::Status InWordsOf(const Endpoint& endpoint, const absl::Status& status) {
  const std::string field = FieldOf(status);
  if (field.empty()) return status;
  std::string message(status.message());
  if (message.starts_with(field + ": ")) message.erase(0, field.size() + 2);
  absl::Status bare(status.code(), message);
  status.ForEachPayload([&](absl::string_view key, const absl::Cord& payload) { bare.SetPayload(key, payload); });
  return AtField(NameIn(endpoint, field), bare);
}

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
