// The field table: every field that a request of the HTTP API may have, of which type and range, and what becomes of
// it. The parser checks with it, docs/openai-api.md and /openapi.json are written from it.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gateway/openai/json.h"

namespace headroom::gateway::openai {

enum class Handling : uint8_t {
  kDone,     // has the effect that its help says
  kInert,    // taken, without an effect on the answer; with `values` only these
  kRefused,  // an error by name, unless null or an empty list or object
};

// Bits: a field may be of several.
enum JsonType : uint8_t {
  kBoolean = 1,
  kInteger = 2,  // 1.0 is one, as in JSON Schema
  kNumber = 4,
  kString = 8,
  kArray = 16,
  kObject = 32,
  kAny = 63,
};

struct Shape;

// One member of an object. null means that it is absent.
struct Field {
  const char* name;
  uint8_t types;  // JsonType bits
  const char* help;
  Handling handling = Handling::kDone;
  bool required = false;
  // [least, most] of a number, of the entries of a list, of the members of an object.
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool above_least = false;  // `least` itself is outside
  const char* values = "";   // "a|b": the only ones of a string, or of an inert field
  uint8_t items = kAny;      // JsonType bits of a list's entries
  // Of the object, or of the objects in the list. Absent: they are the caller's own (a JSON Schema, metadata).
  const Shape* shape = nullptr;
};

struct Shape {
  const char* name;  // of the schema in /openapi.json
  std::vector<Field> fields;

  const Field* Find(const std::string& member) const;  // null when there is none
};

// Bodies of requests.
const Shape& ChatShape();
const Shape& CompletionsShape();
const Shape& ResponsesShape();
const Shape& EmbeddingsShape();
const Shape& TokenizeShape();
const Shape& DetokenizeShape();

enum class UnknownFields { kRefuse, kIgnore };

// "in (0, 1]"; empty where a field has none.
std::string RangeText(const Field& field);

// INVALID_ARGUMENT (errors.h) at the first member, in the order of the document, that `shape` does not allow; codes:
// unsupported_parameter, unknown_parameter, unsupported_value, invalid_type, invalid_value, missing_required_parameter.
// Where unknown members are ignored their paths are added to `*ignored`.
absl::Status CheckFields(const Shape& shape, const Json& body, UnknownFields unknown,
                         std::vector<std::string>* ignored);

// The member, or null when it is absent or null.
const Json* Find(const Json& object, const char* name);
Json* Find(Json& object, const char* name);

}  // namespace headroom::gateway::openai
