#include "gateway/openai/reference.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gateway/openai/endpoints.h"
#include "gateway/openai/errors.h"

namespace headroom::gateway::openai {
namespace {

// The shapes of all bodies, each behind those that have it as a part.
std::vector<const Shape*> AllShapes() {
  std::vector<const Shape*> shapes;
  const auto add = [&](const Shape* shape) {
    if (shape != nullptr && std::find(shapes.begin(), shapes.end(), shape) == shapes.end()) shapes.push_back(shape);
  };
  for (const Endpoint& endpoint : Endpoints()) {
    if (endpoint.shape != nullptr) add(&endpoint.shape());
  }
  for (size_t i = 0; i < shapes.size(); ++i) {
    for (const Field& field : shapes[i]->fields) add(field.shape);
  }
  return shapes;
}

std::vector<std::string> TypeNames(uint8_t types) {
  std::vector<std::string> names;
  for (const auto& [bit, name] : {std::pair(kBoolean, "boolean"),
                                  {kInteger, "integer"},
                                  {kNumber, "number"},
                                  {kString, "string"},
                                  {kArray, "array"},
                                  {kObject, "object"}}) {
    if ((types & bit) != 0) names.emplace_back(name);
  }
  return names;
}

const char* NameOf(Handling handling) {
  return handling == Handling::kDone ? "done" : handling == Handling::kInert ? "inert" : "refused";
}

std::string TypeCell(const Field& field) {
  if (field.types == kAny) return "";
  std::string cell = absl::StrJoin(TypeNames(field.types), ", ");
  if (field.shape != nullptr)
    absl::StrAppend(&cell, ": [", field.shape->name, "](#", absl::AsciiStrToLower(field.shape->name), ")");
  return cell;
}

std::string RangeCell(const Field& field) {
  if (*field.values == '\0') return RangeText(field);
  return "`" + absl::StrReplaceAll(field.values, {{"|", "` `"}}) + "`";
}

void AppendShape(const Shape& shape, std::string* page) {
  absl::StrAppend(page, "\n### ", shape.name,
                  "\n\n| field | | type | range or values | |\n| --- | --- | --- | --- | --- |\n");
  for (const Field& field : shape.fields) {
    absl::StrAppend(page, "| `", field.name, "` | ", NameOf(field.handling), field.required ? ", required" : "", " | ",
                    TypeCell(field), " | ", RangeCell(field), " | ", field.help, " |\n");
  }
}

void AppendErrors(const std::vector<ErrorKind>& kinds, std::string* page) {
  for (const ErrorKind& kind : kinds) {
    absl::StrAppend(page, "| ", kind.status, " | `", kind.type, "` | ", *kind.code == '\0' ? "" : "`", kind.code,
                    *kind.code == '\0' ? "" : "`", " | ", kind.when, " |\n");
  }
}

// ---- OpenAPI

Json Reference(const Shape& shape) { return {{"$ref", std::string("#/components/schemas/") + shape.name}}; }

// One of several types is a schema of its own, so that each keeps its range.
Json TypeSchema(const Field& field, JsonType type) {
  Json schema = {{"type", TypeNames(type)[0]}};
  const bool bounded = std::isfinite(field.least) || std::isfinite(field.most);
  const char* const least = type == kArray      ? "minItems"
                            : type == kObject   ? "minProperties"
                            : field.above_least ? "exclusiveMinimum"
                                                : "minimum";
  const char* const most = type == kArray ? "maxItems" : type == kObject ? "maxProperties" : "maximum";
  if (bounded && type != kString && type != kBoolean) {
    const bool whole = type != kNumber;
    const auto number = [&](double value) {
      return whole && std::abs(value) < 9e15 ? Json(static_cast<int64_t>(value)) : Json(value);
    };
    if (std::isfinite(field.least)) schema[least] = number(field.least);
    if (std::isfinite(field.most)) schema[most] = number(field.most);
  }
  if (type == kString && *field.values != '\0') {
    schema["enum"] = std::vector<std::string>(absl::StrSplit(field.values, '|'));
  }
  if (type == kObject && field.shape != nullptr) return Reference(*field.shape);
  if (type != kArray) return schema;
  if (field.items == kObject && field.shape != nullptr) {
    schema["items"] = Reference(*field.shape);
  } else if (field.items != kAny) {
    schema["items"] = {{"type", TypeNames(field.items)}};
  }
  return schema;
}

Json FieldSchema(const Field& field) {
  Json schema = Json::object();
  if (field.handling == Handling::kInert && *field.values != '\0') {
    Json values = Json::array();
    for (const std::string& value : std::vector<std::string>(absl::StrSplit(field.values, '|'))) {
      const Json parsed = Json::parse(value, nullptr, false);
      values.push_back(parsed.is_discarded() ? Json(value) : parsed);
    }
    values.push_back(nullptr);
    schema["enum"] = values;
  } else if (field.types != kAny) {
    Json any = Json::array();
    for (const JsonType type : {kBoolean, kInteger, kNumber, kString, kArray, kObject}) {
      if ((field.types & type) != 0) any.push_back(TypeSchema(field, type));
    }
    if (!field.required) any.push_back({{"type", "null"}});
    schema = any.size() == 1 ? any[0] : Json{{"anyOf", any}};
  }
  if (*field.help != '\0') schema["description"] = field.help;
  return schema;
}

// Fields that are refused are none.
Json ShapeSchema(const Shape& shape) {
  Json schema = {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", false}};
  Json required = Json::array();
  for (const Field& field : shape.fields) {
    if (field.handling == Handling::kRefused) continue;
    schema["properties"][field.name] = FieldSchema(field);
    if (field.required) required.push_back(field.name);
  }
  if (!required.empty()) schema["required"] = required;
  return schema;
}

Json ErrorSchema() {
  const Json text_or_null = {{"type", {"string", "null"}}};
  return {{"type", "object"},
          {"properties",
           {{"error",
             {{"type", "object"},
              {"properties",
               {{"message", {{"type", "string"}}},
                {"type", {{"type", "string"}}},
                {"param", text_or_null},
                {"code", text_or_null},
                {"headroom", {{"type", "object"}}}}},
              {"required", {"message", "type", "param", "code"}}}}}},
          {"required", {"error"}}};
}

Json Responses(const Endpoint& endpoint) {
  Json content = {{"application/json", {{"schema", {{"type", "object"}}}}}};
  if (endpoint.read != nullptr) content["text/event-stream"] = {{"schema", {{"type", "string"}}}};
  Json responses = {{"200", {{"description", "The answer."}, {"content", content}}}};
  std::map<int, std::string> errors;
  for (const std::vector<ErrorKind>* kinds : {&ErrorKinds(), &TransportErrorKinds()}) {
    for (const ErrorKind& kind : *kinds) {
      std::string& words = errors[kind.status];
      absl::StrAppend(&words, words.empty() ? "" : "; ", kind.when);
    }
  }
  for (const auto& [status, words] : errors) {
    responses[absl::StrCat(status)] = {
        {"description", words},
        {"content", {{"application/json", {{"schema", {{"$ref", "#/components/schemas/Error"}}}}}}}};
  }
  return responses;
}

}  // namespace

std::string ApiReference() {
  std::string page =
      "# The HTTP API\n\n"
      "Written by `headroom api`; a test compares. The addresses and fields of OpenAI's API, as far as they are served "
      "here, with extensions that clients of other servers send. `/openapi.json` says the same to programs.\n\n"
      "- *done*: has its effect. *inert*: taken, without an effect on the answer; where values are listed, others are "
      "refused. *refused*: an error by name.\n"
      "- `null`, and an empty list or object of a refused field, is an absent field. Names that stand in no list are "
      "refused (`unknown_parameter`), or with `gateway.http_unknown_fields: ignore` ignored and named in the header "
      "`x-headroom-ignored`.\n"
      "- An answer with a `response_format` or a `text.format` of JSON, and the arguments of a forced call, are kept "
      "to "
      "their schema token by token ([what is supported](structured-output.md)); what cannot be kept is refused with "
      "the field and the place in the schema. One that ends by `length` is cut. A forced call is one call.\n"
      "- Pictures are data URIs in base64 (PNG, JPEG, WebP, GIF, BMP; the type in the URI is a hint that nothing "
      "reads).\n"
      "- A stream of `/v1/chat/completions` or `/v1/completions` that ends well ends with `data: [DONE]`, one of "
      "`/v1/responses` with `response.completed` or `response.incomplete`. One that fails has an error as its last "
      "event "
      "and breaks off without the mark of HTTP's end. The head of a stream goes out when the cluster has promised the "
      "memory: until then a refusal has a status of its own.\n"
      "- `/v1/embeddings` answers with an entry for each picture: `shape` is [rows, columns] and `embedding` the "
      "numbers in that order; `piece_rows` says how many of the rows each piece of the picture has, the overview "
      "before "
      "the slices of its grid. They are what the llm reads in place of the picture's tokens, not a summary of it. The "
      "usage counts the rows. The answer is sent piece by piece; one that fails on its way breaks off without the mark "
      "of HTTP's end.\n"
      "- Answers carry `x-request-id` (the client's, or one that was made), `openai-processing-ms`, "
      "`x-headroom-queue-ms` "
      "(until the cluster had promised the memory) and `x-headroom-model`.\n"
      "- Headers of clients about themselves (`x-stainless-read-timeout`, `x-stainless-timeout`, "
      "`x-stainless-retry-count`, `openai-organization` and the like) are inert: a client that gives up closes its "
      "connection, and that ends its request within a step. How long a request may wait is "
      "`gateway.queue_wait_ms_max`.\n\n"
      "| address | |\n| --- | --- |\n";
  for (const Endpoint& endpoint : Endpoints()) {
    absl::StrAppend(&page, "| `", endpoint.method, " ", endpoint.path, "` | ", endpoint.summary,
                    endpoint.shape == nullptr ? ""
                                              : absl::StrCat(" [", endpoint.shape().name, "](#",
                                                             absl::AsciiStrToLower(endpoint.shape().name), ")"),
                    " |\n");
  }
  absl::StrAppend(
      &page,
      "\n## Errors\n\nThe body is `{\"error\": {message, type, param, code}}`; a refusal has its numbers in "
      "`error.headroom` ([refusals](refusals.md)). `x-should-retry` says whether the same request may go "
      "through later, `retry-after-ms` and `retry-after` when; `x-headroom-budget` and `x-headroom-short-by` "
      "of what it was short.\n\n| status | type | code | when |\n| --- | --- | --- | --- |\n");
  AppendErrors(ErrorKinds(), &page);
  AppendErrors(TransportErrorKinds(), &page);
  absl::StrAppend(&page, "\n## Fields\n");
  for (const Shape* shape : AllShapes()) AppendShape(*shape, &page);
  return page;
}

Json OpenApi(const std::string& version) {
  Json schemas = {{"Error", ErrorSchema()}};
  for (const Shape* shape : AllShapes()) schemas[shape->name] = ShapeSchema(*shape);
  Json paths = Json::object();
  for (const Endpoint& endpoint : Endpoints()) {
    std::string method = endpoint.method;
    std::transform(method.begin(), method.end(), method.begin(), [](char c) { return static_cast<char>(c | 0x20); });
    Json operation = {{"summary", endpoint.summary}, {"responses", Responses(endpoint)}};
    if (const std::string path = endpoint.path; path.find("{model}") != std::string::npos) {
      operation["parameters"] = {
          {{"name", "model"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}}};
    }
    if (endpoint.shape != nullptr) {
      operation["requestBody"] = {{"required", true},
                                  {"content", {{"application/json", {{"schema", Reference(endpoint.shape())}}}}}};
    }
    paths[endpoint.path][method] = std::move(operation);
  }
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "Headroom"}, {"version", version}}},
          {"paths", std::move(paths)},
          {"components", {{"schemas", std::move(schemas)}}}};
}

}  // namespace headroom::gateway::openai
