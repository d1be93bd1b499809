// Bodies of the HTTP API: JSON within bounds, the field table, data URIs, up to the request that they become.
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "common/utf8.h"
#include "gateway/openai/data_uri.h"
#include "gateway/openai/embeddings.h"
#include "gateway/openai/endpoints.h"
#include "gateway/openai/errors.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

using gateway::openai::Json;

// The library without our bounds says whether a text is JSON, and what it means. It takes a member twice, which we do
// not.
void CheckAgainstLibrary(const std::string& input, const absl::StatusOr<Json>& read) {
  const Json whole = Json::parse(input, nullptr, /*allow_exceptions=*/false);
  if (read.ok()) {
    HEADROOM_CHECK(!whole.is_discarded());
    HEADROOM_CHECK(*read == whole) << input;
  } else if (whole.is_discarded()) {
    return;
  } else {
    const std::string words(read.status().message());
    const bool bounded = words.find("more than") != std::string::npos || words.find("deeper") != std::string::npos ||
                         words.find("twice") != std::string::npos;
    HEADROOM_CHECK(bounded) << words;
  }
}

// As the edge calls it; that of requests which generate is in the table of endpoints.
absl::Status ReadEmbeddings(Json& body) {
  v1::EmbedRequest request;
  auto format = gateway::openai::EncodingFormat::kFloat;
  return gateway::openai::ReadEmbeddingsRequest(body, "id", &request, &format);
}

void Run(const std::string& input) {
  if (input.size() > 1 << 16) return;
  const absl::StatusOr<Json> read = gateway::openai::ParseJson(input);
  CheckAgainstLibrary(input, read);
  if (!read.ok()) CheckClientError(read.status());
  if (!IsValidUtf8(input)) return;
  std::string bytes;
  if (const absl::Status decoded = gateway::openai::DecodeDataUri(input, &bytes); !decoded.ok()) {
    CheckClientError(decoded);
  }
  if (!read.ok()) return;
  for (const gateway::openai::Endpoint& endpoint : gateway::openai::Endpoints()) {
    const bool embeds = endpoint.action == gateway::openai::Action::kEmbed;
    if (endpoint.read == nullptr && !embeds) continue;
    Json body = *read;
    std::vector<std::string> ignored;
    absl::Status status =
        gateway::openai::CheckFields(endpoint.shape(), body, gateway::openai::UnknownFields::kIgnore, &ignored);
    v1::GenerateRequest request;
    if (status.ok()) status = embeds ? ReadEmbeddings(body) : endpoint.read(body, "id", &request).status();
    if (status.ok()) continue;
    CheckClientError(status);
    HEADROOM_CHECK(!Json::parse(gateway::openai::ErrorBody(status))["error"]["code"].is_null());
  }
}

std::vector<std::string> Seeds() {
  return {
      R"({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "a"},
          {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}]}], "stream": true,
          "stream_options": {"include_usage": true}, "temperature": 0.5, "seed": -1, "logit_bias": {"5": -100}, "stop": ["a"],
          "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
          "tool_choice": {"type": "function", "function": {"name": "f"}}, "max_tokens": 5})",
      R"({"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
          "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "c", "content": "7"}],
          "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}})",
      R"({"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"},
          {"type": "input_image", "image_url": "data:;base64,aGk="}]}, {"type": "function_call", "call_id": "c", "name": "f",
          "arguments": "{}"}, {"type": "function_call_output", "call_id": "c", "output": "7"}],
          "text": {"format": {"type": "json_object"}}, "reasoning": {"effort": "low"}, "include": []})",
      R"({"prompt": ["a"], "logprobs": 2, "n": 2})",
      R"({"input": ["data:image/png;base64,aGk=", "a text"], "encoding_format": "base64", "max_slice_nums": 1})",
      R"({"messages": [{"role": "user", "content": [{"type": "image_size", "image_size": {"width": 9, "height": 9, "format": "gif"}}]}]})",
      "data:image/png;base64,aGVhZHJvb20=",
      "[1, -2.5e3, \"\\ud83d\\ude00\", null, true, {\"a\": {}}]",
  };
}

const Registration kRegistration({"openai_body", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
