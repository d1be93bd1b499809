// Parts of requests that several endpoints have, from checked JSON (CheckFields) to the protocol. Strings are moved out
// of the document. Errors are INVALID_ARGUMENT with the field's path.
#pragma once

#include <string>

#include "gateway/openai/json.h"
#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway::openai {

// What a request wants of the form of its answer.
struct AnswerOptions {
  bool stream = false;
  bool include_usage = false;  // of a stream
};
void ReadStreamOptions(const Json& body, AnswerOptions* options);

// The member's text, moved out of `object`; empty when there is none.
std::string TakeString(Json& object, const char* name);
// The member as the protocol's type; `otherwise` when there is none.
int64_t IntegerOr(const Json& object, const char* name, int64_t otherwise);
bool BooleanOr(const Json& object, const char* name, bool otherwise);

// One picture: `image_url` is an object with url and detail, or the URI itself, whose detail stands beside it.
absl::Status ReadImage(Json& image_url, const std::string& detail, const std::string& param, v1::Image* image);
// Temperature and the like, stop ids, min_tokens and ignore_eos.
absl::Status ReadSampling(const Json& body, v1::GenerateRequest* request);
absl::Status ReadStop(Json& body, v1::GenerateRequest* request);
// priority and request_id, for which that of the transport stands in.
void ReadExtensions(Json& body, const std::string& request_id, v1::GenerateRequest* request);
// type, and the schema where the type is json_schema: `schema` is the object that has name and schema, `param` the path
// of its member schema.
absl::Status ReadResponseFormat(const std::string& type, const Json* schema, const std::string& param,
                                v1::GenerateRequest* request);
// auto, none, required; or exactly the function of that name, which must be one of request->tools.
absl::Status ReadToolChoice(const std::string& mode, v1::GenerateRequest* request);
absl::Status ReadChosenFunction(const std::string& name, const std::string& param, v1::GenerateRequest* request);

}  // namespace headroom::gateway::openai
