// The addresses of the HTTP API: one table, for the router, the documents and the tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/openai/answer_format.h"
#include "gateway/openai/fields.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway::openai {

// What the body of a request that generates was read into, beside the request.
struct Reading {
  bool stream = false;
  std::unique_ptr<AnswerFormat> format;
};

// What answers an address.
enum class Action {
  kGenerate,
  kEmbed,
  kTokenize,
  kDetokenize,
  kPrice,
  kListModels,
  kGetModel,
  kOpenApi,
};

struct Endpoint {
  const char* method;
  const char* path;
  const char* summary;
  Action action;
  const Shape& (*shape)() = nullptr;  // of the body; null: it has none
  // Of Action::kGenerate: from a body that is checked, and may lose its strings, to the request.
  absl::StatusOr<Reading> (*read)(Json& body, const std::string& request_id, v1::GenerateRequest* request) = nullptr;
};

const std::vector<Endpoint>& Endpoints();
// `status` in the words of clients of this endpoint: a field of the protocol that it names becomes theirs.
absl::Status InWordsOf(const Endpoint& endpoint, const absl::Status& status);
// Null when there is none.
const Endpoint* FindEndpoint(const std::string& method, const std::string& path);

}  // namespace headroom::gateway::openai
